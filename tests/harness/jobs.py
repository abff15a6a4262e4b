"""Training jobs over the tiny model and their gradients, for the tests of gradient and loop."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import torch

import losses
from harness.data.selection import mismatched
from harness.data.tokens import Row, item_of
from harness.experiment.learning_rate import Schedule
from harness.model.logprobs import Scorer
from harness.model.reference import measure
from harness.training.callbacks import Callback, OnStep
from harness.training.checkpoint import TrainState
from harness.training.feed import RowFeed
from harness.training.gradient import accumulate_gradient
from harness.training.job import Job


def make_job(
    model, rows: Sequence[Row], loss: str | losses.Loss, *, micro_batch=None, lr=1e-3, batch_size=8, epochs=1, **changes
) -> Job:
    """A job of one loss at its defaults, its reference measured from the model as it is now."""
    card = losses.get(loss) if isinstance(loss, str) else loss
    scorer = Scorer(model)
    pairs = mismatched(rows, max_tokens=512)
    others = [pairs[row.id] for row in rows]
    settings = {
        "cell": "test",
        "loss": card,
        "hyperparameters": dict(card.defaults),
        "schedule": Schedule(lr),
        "seed": 0,
        "feed": RowFeed(rows, 0, epochs, batch_size),
        "reference": dict(zip([r.id for r in rows], scores(scorer, [item_of(r) for r in rows]), strict=True)),
        "mismatched": {
            r.id: (item, score) for r, item, score in zip(rows, others, scores(scorer, others), strict=True)
        },
        "layout": "packed",
        "pad": 0,
        "micro_batch": micro_batch,
        "micro_tokens": 2048,
        "tolerance": 1e-3,
    }
    return Job(**settings | changes)


class OnOutOfMemory(Callback):
    """A function that is called with each job that training goes on with after memory ran out."""

    def __init__(self, function):
        self.on_out_of_memory = function


def after_step(function) -> OnStep:
    """A function that is called with the number of each step done."""
    return OnStep(lambda row: function(row["step"]))


def scores(scorer, items):
    return measure(scorer, items, layout="packed", pad=0)


def coupled_mean(pair: losses.PairBatch, *, beta: float = 0.1) -> torch.Tensor:
    """Each pair's margin against the batch's mean margin: nothing a micro-batch could know."""
    h = pair.chosen_log_ratio - pair.rejected_log_ratio
    return (beta * (h - 1 - h.mean())).square() + beta * h.mean() - 0.01 * pair.prompt.mean


def unregistered(fn, **changes) -> losses.Loss:
    """A loss that only this file knows."""
    return dataclasses.replace(losses.get("dpo"), name=fn.__name__, fn=fn, **changes)


def state() -> TrainState:
    return TrainState({}, None, torch.Generator().manual_seed(0), {}, [])


@torch.no_grad()
def moved(model, shift=0.02):
    """Moves the weights by a fixed small noise, and returns the model."""
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        parameter += shift * torch.randn(parameter.shape, generator=generator)
    return model


@contextlib.contextmanager
def drifted(model, shift=0.02):
    """Within the block the weights are off their start by a fixed small noise."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    moved(model, shift)
    yield
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(before[name])


def gradient(model, job, shift=0.02):
    """Parameter gradients of the first batch, after a fixed small drift of the weights."""
    model.zero_grad()
    with drifted(model, shift):
        statistics = accumulate_gradient(Scorer(model), job, job.feed.batch(0), state())
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, statistics


COUPLED = unregistered(coupled_mean, needs=frozenset({"reference", "prompt"}), batch_coupled=True)
