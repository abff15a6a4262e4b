"""What the tests of reproductions share: a request as the command makes it, and losses that are wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

import losses
from harness.progress import silent
from harness.reproduce.frame import MISMATCH, Check, Request


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def request_of(tmp_path) -> Callable[..., Request]:
    """A request with some fields set; what is trained lands in the test's folder."""
    return lambda **fields: Request(silent(), **{"out": tmp_path / "out", **fields})


@pytest.fixture
def wrong(monkeypatch) -> Callable[..., None]:
    """Replace the function of a registered loss for the length of a test."""

    def put(name: str, fn: Callable[..., torch.Tensor]) -> None:
        monkeypatch.setitem(losses.registry._losses, name, replace(losses.get(name), fn=fn))

    return put


def swapped(name: str) -> Callable[..., torch.Tensor]:
    """A loss that takes the rejected completion for the chosen one."""
    right = losses.get(name).fn

    def fn(pair: losses.PairBatch, **hyperparameters: float) -> torch.Tensor:
        sides = losses.PairBatch(pair.rejected, pair.chosen, pair.ref_rejected, pair.ref_chosen)
        return right(sides, **hyperparameters)

    return fn


def at_half_the_beta(name: str) -> Callable[..., torch.Tensor]:
    """ipo with a target of 1/beta in place of 1/(2 beta)."""
    right = losses.get(name).fn
    return lambda pair, *, beta: right(pair, beta=beta / 2)


def mismatched_rows(checks: list[Check]) -> set[str]:
    """Rows with at least one mismatch."""
    return {check.row for check in checks if check.verdict == MISMATCH}
