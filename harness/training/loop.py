"""The one training loop: every loss, the same rows, the same schedule, the same clipping."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch

from harness.compute import ranks
from harness.compute.sharding import whole
from harness.errors import NonFinite, is_out_of_memory
from harness.model.logprobs import Scorer
from harness.training.callbacks import Callback
from harness.training.checkpoint import Checkpoints, TrainState
from harness.training.curve import Curve, appended, curve_row
from harness.training.feed import Batch
from harness.training.gradient import accumulate_gradient, describe
from harness.training.job import Job
from harness.training.micro_batches import smaller
from harness.training.objective import Statistics
from harness.training.optimizers import make_optimizer


def train(
    scorer: Scorer, job: Job, callbacks: Sequence[Callback] = (), checkpoints: Checkpoints | None = None
) -> Curve:
    """Trains the scorer's model in place and returns one row a step.

    A state of this cell that is found in `checkpoints` is continued.
    Raises: NonFinite before an update that would spoil the weights; StepZeroMismatch at the first step.
    """
    state = _new_state(scorer, job)
    if checkpoints is not None:
        checkpoints.resume(state, job.cell)
    for step in range(state.step, job.feed.steps):
        began = time.perf_counter()
        batch = job.feed.batch(step, scorer.model)
        statistics, fitting = _gradient_in_memory(scorer, job, batch, state)
        if fitting is not job:
            job = fitting
            for callback in callbacks:
                callback.on_out_of_memory(job)
        norm = _clip(job, batch, state)
        lr = _update(job, batch, state)
        row = curve_row(job, batch, statistics, norm, lr)
        appended(state.curve, row, batch.rows, time.perf_counter() - began)
        for callback in callbacks:
            callback.on_step(row)
        if checkpoints is not None:
            checkpoints.keep(state, job)
    return state.curve


def _new_state(scorer: Scorer, job: Job) -> TrainState:
    parameters = {name: p for name, p in scorer.model.named_parameters() if p.requires_grad}
    optimizer = make_optimizer(list(parameters.values()), job.schedule)
    key = hashlib.sha256(f"loss/{job.seed}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big") >> 1)
    return TrainState(parameters, optimizer, generator, {}, [])


class _Fitted(NamedTuple):
    statistics: Statistics
    job: Job


def _gradient_in_memory(scorer: Scorer, job: Job, batch: Batch, state: TrainState) -> _Fitted:
    """The gradient of a batch, and the job with the micro-batch that fitted into memory.

    A pass that runs out of memory is thrown away whole, with what the loss noted in its state, and made
    again with half the micro-batch.
    """
    loss_state, generator = copy.deepcopy(state.loss_state), state.generator.get_state()
    while True:
        try:
            return _Fitted(accumulate_gradient(scorer, job, batch, state), job)
        except (RuntimeError, MemoryError, ranks.RankFailure) as failure:
            error = ranks.what_happened(failure)
            if ranks.sharded() and is_out_of_memory(error):
                raise ranks.out_of_step(error) from None
            less = smaller(job, batch.rows, ranks.count()) if is_out_of_memory(error) else None
            if less is None:
                raise
            # The traceback holds the tensors of the failed pass.
            failure.__traceback__ = error.__traceback__ = None
        job = less
        state.optimizer.zero_grad(set_to_none=True)
        state.loss_state.clear()
        state.loss_state.update(copy.deepcopy(loss_state))  # a second pass may fail too
        state.generator.set_state(generator)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _clip(job: Job, batch: Batch, state: TrainState) -> float:
    """Clips the gradient and returns its norm before. Raises: NonFinite, before the update."""
    clip = job.schedule.clip if job.schedule.clip > 0 else math.inf
    norm = whole(torch.nn.utils.clip_grad_norm_(list(state.parameters.values()), clip)).item()
    if not math.isfinite(norm):
        raise NonFinite(describe(job, batch.step, batch.rows, f"gradient norm {norm:g}"))
    return norm


def _update(job: Job, batch: Batch, state: TrainState) -> float:
    """One step of the optimizer at the schedule's learning rate, which it returns."""
    lr = job.schedule.learning_rate(batch.step, job.feed.steps)
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    state.optimizer.step()
    # A fused step does not count as a write, and bf16 copies of the weights go by that count.
    torch.autograd.graph.increment_version(list(state.parameters.values()))
    state.optimizer.zero_grad(set_to_none=True)
    state.step = batch.step + 1
    return lr
