"""A loss found by asking a language model for loss functions: logistic and exponential, blended by the margin.

Letters: h = difference of the summed log-ratios of the chosen and the rejected completion (nats), x = beta*h,
m = sigmoid(x/tau), ls = log sigmoid.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.numerics import exp_or_tangent
from losses.registry import register


@register(
    "discopop",
    paper="arXiv:2406.08414 eq. 5",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.05,), "tau": (0.05,)},
    formula="-ls(x)*(1 - m) + exp(-x)*m, x = beta*h, m = sigmoid(x/tau)",
    verified="closed form in double precision; (ln 2 + 1)/2 at policy == reference",
)
def discopop(pair: PairBatch, *, beta: float = 0.05, tau: float = 0.05) -> Tensor:
    """Logistic loss where a pair is wrong, exponential where it is right; returns [N], without unit.

    Not convex: at tau 0.05 it rises with the margin from x = -0.118 to 0.072, policy == reference included, so
    a pair starts by being pushed 2.4 nats the wrong way (at beta 0.05) unless the batch carries it across.
    The blend exp(-x)*m is computed as exp(ls(x/tau) - x): exp(-x) alone overflows for a wrong pair, where m
    is 0.

    Source: arXiv:2406.08414 eq. 5, the log-ratio modulated loss; tau 0.05, beta 0.05 there.

    Conventions: the same in TRL (`discopop`), which multiplies exp(-x) by m and so returns NaN below
    x = -88.
    """
    x = beta * pair.margin
    logistic = -F.logsigmoid(x) * torch.sigmoid(-x / tau)
    return logistic + exp_or_tangent(F.logsigmoid(x / tau) - x)
