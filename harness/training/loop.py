"""The one training loop: every loss, the same rows, the same schedule, the same clipping."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from harness.compute import ranks
from harness.compute.sharding import whole
from harness.data.tokens import Row, row_tokens
from harness.errors import NonFinite, SweepStopped, is_out_of_memory
from harness.model.logprobs import Scorer
from harness.training.checkpoint import TrainState
from harness.training.feed import Batch
from harness.training.gradient import accumulate_gradient, describe
from harness.training.job import Job
from harness.training.micro_batches import smaller
from harness.training.objective import Statistics
from harness.training.optimizers import make_optimizer

Curve = list[dict[str, float]]


def train(
    scorer: Scorer,
    job: Job,
    *,
    on_step: Callable[[dict[str, float]], None] = lambda row: None,
    after_step: Callable[[int], None] = lambda step: None,
    on_smaller: Callable[[Job], None] = lambda job: None,
    checkpoints: Path | None = None,
    checkpoint_steps: int = 0,
) -> Curve:
    """Trains the scorer's model in place and returns one row a step.

    on_step gets each row of the curve; after_step the number of steps done (for evaluations on the way);
    on_smaller the job that training goes on with after memory ran out.
    A state of this cell found in `checkpoints` is continued.
    Raises: NonFinite before an update that would spoil the weights; StepZeroMismatch at the first step.
    """
    state = _new_state(scorer, job)
    if checkpoints is not None:
        _resume(state, checkpoints, job.cell)
    parameters = list(state.parameters.values())
    for step in range(state.step, job.feed.steps):
        began = time.perf_counter()
        batch = job.feed.batch(step, scorer.model)
        statistics, fitting = _gradient_in_memory(scorer, job, batch, state)
        if fitting is not job:
            job = fitting
            on_smaller(job)
        norm = _clip(parameters, job, batch)
        lr = job.schedule.learning_rate(batch.step, job.feed.steps)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        state.optimizer.step()
        # A fused step does not count as a write, and bf16 copies of the weights go by that count.
        torch.autograd.graph.increment_version(parameters)
        state.optimizer.zero_grad(set_to_none=True)
        state.step = batch.step + 1
        row = _curve_row(job, batch, statistics, norm, lr)
        last = state.curve[-1] if state.curve else {"tokens": 0, "seconds": 0.0}
        row["tokens"] = last["tokens"] + sum(row_tokens(r) for r in batch.rows)
        row["seconds"] = last["seconds"] + time.perf_counter() - began
        state.curve.append(row)
        on_step(row)
        after_step(state.step)
        due = checkpoint_steps and state.step % checkpoint_steps == 0 and state.step < job.feed.steps
        if checkpoints is not None and due and ranks.is_main_process():
            state.save(checkpoints, job.cell)
    return state.curve


def _resume(state: TrainState, checkpoints: Path, cell: str) -> None:
    """Goes on from a kept state, in every process from the same. Raises: SweepStopped where not all can read it."""
    state.load(checkpoints, cell)
    steps = ranks.all_gather(lambda: state.step)
    if len(set(steps)) > 1:
        raise SweepStopped(
            f"{checkpoints}: the processes of this launch read states of different steps "
            f"({', '.join(map(str, steps))}); out= must be a folder that all machines share"
        )


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


def _new_state(scorer: Scorer, job: Job) -> TrainState:
    parameters = {name: p for name, p in scorer.model.named_parameters() if p.requires_grad}
    optimizer = make_optimizer(list(parameters.values()), job.schedule)
    key = hashlib.sha256(f"loss/{job.seed}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big") >> 1)
    return TrainState(parameters, optimizer, generator, {}, [])


def _clip(parameters: list[Tensor], job: Job, batch: Batch) -> float:
    """Clips the gradient and returns its norm before. Raises: NonFinite, before the update."""
    clip = job.schedule.clip if job.schedule.clip > 0 else math.inf
    norm = whole(torch.nn.utils.clip_grad_norm_(parameters, clip)).item()
    if not math.isfinite(norm):
        raise NonFinite(describe(job, batch.step, batch.rows, f"gradient norm {norm:g}"))
    return norm


def _curve_row(job: Job, batch: Batch, seen: Statistics, norm: float, lr: float) -> dict[str, float]:
    good, bad = seen.preferred, ~seen.preferred
    row = {
        "step": batch.step + 1,
        "loss": seen.values.mean().item(),
        "reward_chosen": seen.rewards[good].mean().item(),
        "reward_rejected": seen.rewards[bad].mean().item(),
        "margin": seen.rewards[good].mean().item() - seen.rewards[bad].mean().item(),
        "accuracy": _accuracy(seen.rewards, batch.rows),
        "chosen_logp": seen.totals[good].mean().item(),
        "rejected_logp": seen.totals[bad].mean().item(),
        "gradient_norm": norm,
        "gradient_weight": seen.weights.mean().item() / job.hyperparameters.get("beta", 1.0),
        "clipped": bool(job.schedule.clip > 0 and norm > job.schedule.clip),
        "learning_rate": lr,
    }
    return row | {f"term_{name}": value.mean().item() for name, value in seen.terms.items()}


def _accuracy(rewards: Tensor, rows: Sequence[Row]) -> float:
    """Share of pairs whose chosen answer has the higher reward, ties one half; NaN for unpaired rows."""
    if rows[0].desirable is not None:
        return math.nan
    margin = rewards[0::2] - rewards[1::2]
    return ((margin > 0).float() + 0.5 * (margin == 0).float()).mean().item()
