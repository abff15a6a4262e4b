"""Fixtures for the loss tests: batches written as plain numbers, and a registry that forgets plug-ins."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

import losses
from losses import plugins, registry


def sequences(totals: list[float], counts: list[int], gradient: bool) -> losses.SequenceLogProbs:
    total = torch.tensor(totals, requires_grad=gradient)
    return losses.SequenceLogProbs(total=total, count=torch.tensor(counts))


@pytest.fixture
def pair() -> Callable[..., losses.PairBatch]:
    """pair(c, r, rc=, rr=, nc=1, nr=1): a PairBatch of one pair with these summed log-probs and counts."""

    def make(c, r, rc=None, rr=None, nc=1, nr=1) -> losses.PairBatch:
        return losses.PairBatch(
            chosen=sequences([c], [nc], True),
            rejected=sequences([r], [nr], True),
            ref_chosen=None if rc is None else sequences([rc], [nc], False),
            ref_rejected=None if rr is None else sequences([rr], [nr], False),
        )

    return make


@pytest.fixture
def gradients() -> Callable[..., tuple[float, float]]:
    """gradients(name, pair, **hyperparameters): d loss / d c and d loss / d r of a batch of one pair."""

    def take(name: str, batch: losses.PairBatch, **hyperparameters: float) -> tuple[float, float]:
        losses.get(name).fn(batch, **hyperparameters).sum().backward()
        chosen, rejected = batch.chosen.total.grad, batch.rejected.total.grad
        return float(chosen), 0.0 if rejected is None else float(rejected)

    return take


@pytest.fixture
def forgetful_registry() -> Iterator[None]:
    """Whatever a test registers or loads is gone afterwards."""
    kept, loaded = dict(registry._losses), dict(plugins._loaded)
    yield
    registry._losses.clear()
    registry._losses.update(kept)
    plugins._loaded.clear()
    plugins._loaded.update(loaded)


@pytest.fixture
def plugin_folder() -> Path:
    return Path(__file__).parent / "plugins"


class Point(NamedTuple):
    """One pair in plain numbers: summed log-probs of policy and reference, and numbers of tokens."""

    c: float
    r: float
    rc: float
    rr: float
    nc: int
    nr: int

    @property
    def a(self) -> float:
        return self.c - self.rc

    @property
    def d(self) -> float:
        return self.r - self.rr

    @property
    def h(self) -> float:
        return self.a - self.d

    @property
    def cbar(self) -> float:
        return self.c / self.nc

    @property
    def rbar(self) -> float:
        return self.r / self.nr


POINTS = (
    Point(-3.5, -6.0, -4.0, -5.0, 4, 7),  # learnt a little
    Point(-20.0, -10.0, -12.0, -15.0, 8, 3),  # the wrong way round
    Point(-6.2, -31.0, -9.0, -25.0, 2, 12),  # learnt, lengths apart
    Point(-0.4, -0.2, -0.3, -0.9, 1, 1),  # one token each
    Point(-45.0, -60.5, -44.0, -58.0, 30, 41),  # both less likely than before
    Point(-7.25, -9.5, -7.25, -9.5, 5, 6),  # policy == reference
)


def batch_of(point: Point) -> losses.PairBatch:
    """The point as a batch of one pair in double precision."""

    def side(total: float, count: int, leaf: bool) -> losses.SequenceLogProbs:
        values = torch.tensor([total], dtype=torch.float64, requires_grad=leaf)
        return losses.SequenceLogProbs(total=values, count=torch.tensor([count]))

    p = point
    return losses.PairBatch(
        side(p.c, p.nc, True), side(p.r, p.nr, True), side(p.rc, p.nc, False), side(p.rr, p.nr, False)
    )


@pytest.fixture(params=POINTS, ids=lambda p: f"a{p.a:+g}d{p.d:+g}")
def point(request) -> Point:
    return request.param


@pytest.fixture
def follows() -> Callable[..., None]:
    """follows(name, formula, point, **hyperparameters): the loss has the value of `formula(point)`, a function in
    plain floats, and its gradient that of the formula's central differences in c and r."""

    def check(name: str, formula: Callable[[Point], float], point: Point, **hyperparameters: float) -> None:
        batch = batch_of(point)
        value = losses.get(name).fn(batch, **hyperparameters)
        value.sum().backward()
        assert value.item() == pytest.approx(formula(point), rel=1e-9, abs=1e-12)
        for key, side in (("c", batch.chosen), ("r", batch.rejected)):
            up, down = (point._replace(**{key: getattr(point, key) + step}) for step in (1e-5, -1e-5))
            slope = (formula(up) - formula(down)) / 2e-5
            seen = 0.0 if side.total.grad is None else side.total.grad.item()
            assert seen == pytest.approx(slope, rel=1e-5, abs=1e-8), key

    return check


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def log_sigmoid(x: float) -> float:
    return min(x, 0.0) - math.log1p(math.exp(-abs(x)))
