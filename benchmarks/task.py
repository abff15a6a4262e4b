"""What every side of a measurement shares: the rows, the batches, the clock."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import random
import resource
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from harness.cells.sweep import Sweep, prepare_sweep
from harness.compute.machine import peak_memory, reset_peak_memory, resolve, versions
from harness.data.perturbations import Perturbations
from harness.data.tokens import Row, row_tokens
from harness.options.lookup import read_options
from harness.progress import silent
from harness.training.feed import Batch, RowFeed


class Clock:
    """Wall and CPU time, and peak memory, from one mark to the next."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.marks: list[tuple[float, float]] = []
        reset_peak_memory(device)

    def mark(self) -> None:
        """Ends a step (the first mark begins the first)."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.marks.append((time.perf_counter(), usage.ru_utime + usage.ru_stime))

    def steps(self, done: Sequence[Batch]) -> list[dict[str, float]]:
        """Each step's time and size."""
        spans = zip(self.marks[:-1], self.marks[1:], done, strict=True)
        return [
            {
                "seconds": b[0] - a[0],
                "cpu_seconds": b[1] - a[1],
                "pairs": len(batch.rows),
                "tokens": sum(map(row_tokens, batch.rows)),
                "digest": digest(batch.rows),
            }
            for a, b, batch in spans
        ]

    def peak(self) -> int:
        """Bytes, since the clock was made."""
        return peak_memory(self.device)


def digest(rows: Sequence[Row]) -> str:
    """A digest of the token ids of some pairs, in whatever order."""
    return hashlib.sha256(json.dumps(sorted([row.prompt, *row.completions] for row in rows)).encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Task:
    """A run as every side sees it before a model is loaded."""

    sweep: Sweep
    batches: list[Batch]
    spec: Mapping[str, Any]


def prepare(spec: Mapping[str, Any]) -> Task:
    """Reads the options and takes the run's batches from the suite, or from synthetic rows in its place."""
    options, _ = read_options(list(spec["words"]))
    sweep = prepare_sweep(options, resolve(options), silent())
    if spec.get("share") is not None:
        rows = synthetic(
            options.train_pairs[0], spec["share"], spec["tokens"], sweep.tokenizer.vocab_size, spec["opening"]
        )
        data = dataclasses.replace(sweep.data, pool=tuple(rows), validation=(), test=())
        sweep = dataclasses.replace(sweep, data=data, identity=dataclasses.replace(sweep.identity, data=data))
    rows = sweep.data.training_rows(0, Perturbations(options.train_pairs[0]))
    return Task(sweep, RowFeed(rows, 0, 1, options.batch_size).batches(), spec)


def synthetic(count: int, share: float, tokens: int, vocabulary: int, opening: int = 0) -> list[Row]:
    """Rows of random token ids: prompt, chosen and rejected have `tokens` in all, the prompt `share` of them, the
    first `opening` of which are the same in every row."""
    draw = random.Random(0)
    common = tuple(draw.randrange(3, vocabulary) for _ in range(opening))
    completion = max(1, round(tokens * (1 - share) / 2))
    sizes = (max(1, tokens - 2 * completion), completion, completion)
    rows = []
    for number in range(count):
        prompt, *completions = (tuple(draw.randrange(3, vocabulary) for _ in range(size)) for size in sizes)
        rows.append(Row(str(number), str(number), "train", common + prompt[opening:], tuple(completions)))
    return rows


def machine_of(task: Task) -> dict[str, Any]:
    """What computed, to be named with the numbers."""
    sweep = task.sweep
    return dataclasses.asdict(sweep.machine) | {"versions": {**versions(), "trl": importlib.metadata.version("trl")}}
