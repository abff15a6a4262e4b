"""Our side of a training run: the loaded model and the loop that the harness itself uses."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.task import Clock, Task
from harness.model.logprobs import Scorer
from harness.progress import silent
from harness.training.callbacks import OnStep
from harness.training.loaded_model import LoadedModel
from harness.training.loop import train


def step(task: Task) -> dict[str, Any]:
    """Trains on the task's batches: the time of each step, of the reference pass, and the peak of memory."""
    sweep = task.sweep
    loaded = LoadedModel(sweep.identity, sweep.tokenizer, sweep.machine, silent())
    began = time.perf_counter()
    job = loaded.job(sweep.trials[0], cell="benchmark")
    reference = time.perf_counter() - began
    model = loaded.policy.begin(sweep.trials[0].seed)
    clock = Clock(sweep.machine.device)
    clock.mark()
    curve = train(Scorer(model, sweep.machine.precision), job, [OnStep(lambda row: clock.mark())])
    return {
        "steps": clock.steps(job.feed.batches()),
        "peak_memory_bytes": clock.peak(),
        "reference_seconds": reference,
        "loss": curve[0]["loss"],
        "chosen_logp": curve[0]["chosen_logp"],
        "layout": job.layout,
    }
