"""Where the batches of a training come from: today rows that are drawn before step 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from torch import nn

from harness.data.selection import order, taken
from harness.data.tokens import Row


class Batch(NamedTuple):
    """One optimizer step's rows, in the order of the run."""

    step: int
    epoch: int
    rows: Sequence[Row]


class Feed(Protocol):
    """What hands out a training's batches.

    A batch follows from the seed, the step and (where it is sampled) the policy's weights at that step, from no more:
    a training that goes on from a checkpoint sees the batches that it would have seen.
    """

    @property
    def steps(self) -> int:
        """How many batches there are."""

    def batch(self, step: int, policy: nn.Module) -> Batch:
        """The batch of a step, from 0; `policy` is what a feed that samples its rows samples them from."""


@dataclass(frozen=True, eq=False)
class RowFeed:
    """Given rows, each once an epoch, in an order of (seed, epoch); an epoch's last partial batch is dropped."""

    rows: Sequence[Row]
    seed: int
    epochs: int
    batch_size: int
    _orders: dict[int, Sequence[int]] = field(default_factory=dict, init=False, repr=False)

    @property
    def steps(self) -> int:
        """Full batches of all epochs."""
        return self.epochs * self._steps_of_an_epoch

    @property
    def _steps_of_an_epoch(self) -> int:
        return len(self.rows) // self.batch_size

    def batch(self, step: int, policy: nn.Module | None = None) -> Batch:
        """The batch of a step, from 0; the policy does not matter. Raises: IndexError beyond the last step."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} is not among the {self.steps} steps, 0 to {self.steps - 1}")
        epoch, number = divmod(step, self._steps_of_an_epoch)
        first = number * self.batch_size
        return Batch(step, epoch, taken(self.rows, self._order(epoch)[first : first + self.batch_size]))

    def batches(self) -> list[Batch]:
        """All of them, in order."""
        return [self.batch(step) for step in range(self.steps)]

    def _order(self, epoch: int) -> Sequence[int]:
        """Places of the rows; kept, because a long list is hashed for it."""
        if epoch not in self._orders:
            self._orders.clear()
            self._orders[epoch] = order(self.rows, "order", self.seed, epoch)
        return self._orders[epoch]
