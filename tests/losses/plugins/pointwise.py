"""A pointwise plug-in with postponed annotations, a grid and two losses, one of them batch-coupled."""

from __future__ import annotations

import torch.nn.functional as F

import losses
from losses import PairBatch


@losses.register("my_pointwise", needs={"reference"}, grid={"beta": (0.01, 0.1)})
def my_pointwise(batch: losses.ExampleBatch, *, beta: float = 0.1):
    sign = batch.desirable.to(batch.policy.total.dtype) * 2.0 - 1.0
    return -F.logsigmoid(beta * sign * batch.log_ratio)


@losses.register("my_centred", needs={"reference"}, batch_coupled=True)
def my_centred(pair: PairBatch, *, beta: float = 0.1):
    margin = pair.chosen_log_ratio - pair.rejected_log_ratio
    return -F.logsigmoid(beta * (margin - 0.5 * margin.mean().detach()))
