"""What one cell's training is: its loss, its schedule, its batches and what they are compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from harness.layout import Item
from harness.selection import Batch
from losses import Loss


@dataclass(frozen=True)
class Schedule:
    """AdamW, warm-up and decay, gradient clipping: the same for every loss."""

    lr: float
    weight_decay: float = 0.0
    warmup: float = 0.1
    decay: str = "cosine"
    clip: float = 1.0

    def learning_rate(self, step: int, steps: int) -> float:
        """Linear warm-up over the first share of the steps, then cosine, linear or no decay to zero."""
        rising = max(1, round(self.warmup * steps)) if self.warmup > 0 else 0
        if step < rising:
            return self.lr * (step + 1) / rising
        done = (step - rising) / max(1, steps - rising)
        factors = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}
        return self.lr * factors[self.decay]


@dataclass(frozen=True)
class Job:
    """One cell's training: what to learn from, with which loss.

    reference:  row id -> log-probs of its answers under the reference, where the loss needs them.
    mismatched: row id -> (item, its reference log-probs), where the loss needs them.
    micro_batch, micro_tokens: rows of a micro-batch, or (where None) the tokens it may have.
    tolerance:  nats, times the square root of an answer's tokens, that policy and reference may differ by
                before the first update.
    """

    cell: str
    loss: Loss
    hyperparameters: Mapping[str, float]
    schedule: Schedule
    seed: int
    batches: Sequence[Batch]
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
