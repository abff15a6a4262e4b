"""Learning rates: each loss's default, the three that `grid` stands for, and the schedule over the steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import losses
from harness.options import optimizers
from harness.options.models import LORA_LR_FACTOR


def default_rate(loss: losses.Loss, base_lr: float, tuning: str) -> float:
    """The learning rate of a loss where the user names none."""
    factor = LORA_LR_FACTOR if tuning == "lora" else 1.0
    return rounded(base_lr * loss.lr_scale * factor, digits=6)


def rates_around(default: float) -> tuple[float, ...]:
    """The three learning rates that `grid` stands for."""
    return tuple(rounded(default * factor, digits=2) for factor in (1 / 3, 1, 3))


def rounded(number: float, digits: int) -> float:
    """A number at so many significant digits, so that products of equal factors have equal ids."""
    return float(f"{number:.{digits - 1}e}")


@dataclass(frozen=True)
class Schedule:
    """The optimizer with its weight decay, warm-up and decay, gradient clipping: the same for every loss."""

    lr: float
    weight_decay: float = 0.0
    warmup: float = 0.1
    decay: str = "cosine"
    clip: float = 1.0
    optimizer: str = optimizers.DEFAULT

    def learning_rate(self, step: int, steps: int) -> float:
        """Linear warm-up over the first share of the steps, then cosine, linear or no decay to zero."""
        rising = max(1, round(self.warmup * steps)) if self.warmup > 0 else 0
        if step < rising:
            return self.lr * (step + 1) / rising
        done = (step - rising) / max(1, steps - rising)
        factors = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}
        return self.lr * factors[self.decay]
