"""What one cell's training is: its loss, its schedule, its feed and what they are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from harness.data.dataset import Data
from harness.data.perturbations import Draw
from harness.experiment.learning_rate import Schedule
from harness.model.layout import Item
from harness.training.feed import Feed
from losses import Loss


@dataclass(frozen=True)
class Job:
    """One cell's training: what to learn from, with which loss.

    reference:  row id -> log-probs of its completions under the reference, where the loss needs them.
    mismatched: row id -> (item, its reference log-probs), where the loss needs them.
    micro_batch, micro_tokens: rows of a micro-batch, or (where None) the tokens it may have.
    tolerance:  nats, times the square root of a completion's tokens, that policy and reference may differ by
                before the first update.
    """

    cell: str
    loss: Loss
    hyperparameters: Mapping[str, float]
    schedule: Schedule
    seed: int
    feed: Feed
    reference: Mapping[str, tuple[Tensor, ...]]
    mismatched: Mapping[str, tuple[Item, tuple[Tensor, ...]]]
    layout: str
    pad: int
    micro_batch: int | None
    micro_tokens: int
    tolerance: float

    @property
    def statistics(self) -> tuple[str, ...]:
        """The statistics of each scored position that the loss needs besides its log-prob."""
        return tuple(sorted(need.removeprefix("stats:") for need in self.loss.needs if need.startswith("stats:")))


class TrainingInputs(NamedTuple):
    """What one training is measured against: its rows, and the weights of its reference (None: the starting ones)."""

    data: Data
    drawn: Draw
    weights: Path | None
