"""Fixtures for the loss tests: batches written as plain numbers, and a registry that forgets plug-ins."""

from collections.abc import Callable, Iterator
from pathlib import Path

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
