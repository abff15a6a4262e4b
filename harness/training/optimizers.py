"""How each optimizer of options/optimizers.py is made: from parameters and a schedule, its state in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from harness.experiment.learning_rate import Schedule

Factory = Callable[[Sequence[nn.Parameter], Schedule], torch.optim.Optimizer]


def make_optimizer(parameters: Sequence[nn.Parameter], schedule: Schedule) -> torch.optim.Optimizer:
    """The schedule's optimizer.

    Its state, tensors alone, is made here and not in the first step: it lasts, so it must not lie between the tensors
    that a pass frees (see `MixedPrecision`), and a checkpoint is read into it.
    """
    return FACTORIES[schedule.optimizer](parameters, schedule)


def adamw(parameters: Sequence[nn.Parameter], schedule: Schedule) -> torch.optim.AdamW:
    """AdamW (arXiv:1711.05101) at torch's betas and epsilon, in one kernel where the device has it."""
    fused = parameters[0].device.type in ("cpu", "cuda")
    optimizer = torch.optim.AdamW(parameters, lr=schedule.lr, weight_decay=schedule.weight_decay, fused=fused)
    for p in parameters:
        optimizer.state[p] = {
            "step": torch.zeros((), dtype=torch.float32, device=p.device if fused else "cpu"),
            "exp_avg": torch.zeros_like(p),
            "exp_avg_sq": torch.zeros_like(p),
        }
    return optimizer


FACTORIES: Mapping[str, Factory] = {"adamw": adamw}
