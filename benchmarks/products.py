"""The machine's limit: the time that the matrix products of our step need alone, at the step's own shapes.

Each linear map of the model makes three products in a step (the output, the gradient of its input, that of its
weight) over the packed tokens of a micro-batch; the head makes them over the scored tokens. Attention's own
products are not counted, nor is anything elementwise: a step cannot be faster than this without fewer tokens.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.task import Task
from harness.data.tokens import item_of
from harness.model.layout import LAYOUTS
from harness.model.logprobs import CHUNK_LOGITS
from harness.progress import silent
from harness.training.loaded_model import LoadedModel
from harness.training.micro_batches import split

SECONDS_OF_A_SHAPE, FEWEST_RUNS = 0.1, 3


def products(task: Task) -> dict[str, Any]:
    """For each step of the task: seconds and operations of its products, maps and head apart."""
    sweep = task.sweep
    loaded = LoadedModel(sweep.identity, sweep.tokenizer, sweep.machine, silent())
    job = loaded.job(sweep.trials[0], cell="benchmark")
    model = loaded.policy.base
    head = model.get_output_embeddings()
    maps = Counter(tuple(m.weight.shape) for m in model.modules() if type(m) is nn.Linear and m is not head)
    timer = Timer(sweep.machine.device, torch.bfloat16 if sweep.machine.precision == "bf16" else torch.float32)
    steps = []
    for batch in job.feed.batches():
        layouts = [
            LAYOUTS[job.layout]([item_of(row) for row in micro], pad=job.pad) for micro in split(batch.rows, job)
        ]
        inner = sum(timer.seconds(layout.tokens, *shape) * count for layout in layouts for shape, count in maps.items())
        scored = sum(len(layout.targets) for layout in layouts)
        # In chunks as ours, so that a large vocabulary fits; one shape stands for all of them.
        chunk = min(scored, CHUNK_LOGITS // head.weight.shape[0])
        last = timer.seconds(chunk, *head.weight.shape) * scored / chunk
        tokens = sum(layout.tokens for layout in layouts)
        weights = sum(a * b * count for (a, b), count in maps.items())
        steps.append(
            {
                "pairs": len(batch.rows),
                "seconds": inner + last,
                "maps_seconds": inner,
                "head_seconds": last,
                "operations": 6 * (tokens * weights + scored * head.weight.numel()),
                "tokens": tokens,
                "scored": scored,
            }
        )
    return {"steps": steps}


class Timer:
    """Seconds of the three products of a linear map, each distinct shape measured once."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._known: dict[tuple[int, int, int], float] = {}

    def seconds(self, tokens: int, outputs: int, inputs: int) -> float:
        """Output, gradient of the input and gradient of the weight."""
        key = (tokens, outputs, inputs)
        if key not in self._known:
            x, y, w = (
                torch.randn(shape, device=self.device).to(self.dtype)
                for shape in ((tokens, inputs), (tokens, outputs), (outputs, inputs))
            )
            self._known[key] = sum(self._time(product) for product in (lambda: x @ w.T, lambda: y @ w, lambda: y.T @ x))
        return self._known[key]

    def _time(self, product: Callable[[], Any]) -> float:
        self._wait(product())
        spans: list[float] = []
        while len(spans) < FEWEST_RUNS or sum(spans) < SECONDS_OF_A_SHAPE:
            began = time.perf_counter()
            self._wait(product())
            spans.append(time.perf_counter() - began)
        return min(spans)  # a limit: what else the machine did is not part of it

    def _wait(self, result: Any) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
