"""DPO for labels of which a share may be wrong: `cdpo` smooths them, `robust` removes their bias.

Letters: h = difference of the summed log-ratios of the chosen and the rejected completion (nats), e =
label_smoothing, the assumed share of swapped labels; ls = log sigmoid.
"""

import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register

GRID = {"beta": (0.01, 0.05, 0.1)}


@register(
    "cdpo",
    paper="Mitchell, A note on DPO with noisy preferences, 2023; on arXiv:2305.18290 eq. 7",
    needs={"reference"},
    reward="log_ratio",
    grid=GRID,
    formula="-(1 - e)*ls(beta*h) - e*ls(-beta*h), e = label_smoothing",
    verified="closed form in double precision; ln 2 at policy == reference; least at sigmoid(beta*h) = 1 - e",
)
def cdpo(pair: PairBatch, *, beta: float = 0.1, label_smoothing: float = 0.2) -> Tensor:
    """Cross-entropy with the smoothed label 1 - e in place of 1; returns [N] nats.

    The best margin is finite: sigmoid(beta*h) = 1 - e. A pair beyond it is pulled back.

    Source: E. Mitchell's note on conservative DPO. label_smoothing 0.2 is the default of HALOs.

    Conventions: as in HALOs and in TRL before 0.29. TRL's `sigmoid` has since ignored `label_smoothing`
    without saying so; its `robust` is another loss: that is `robust` here too.
    """
    logits = beta * pair.margin
    return -(1.0 - label_smoothing) * F.logsigmoid(logits) - label_smoothing * F.logsigmoid(-logits)


@register(
    "robust",
    paper="arXiv:2403.00409",
    needs={"reference"},
    reward="log_ratio",
    grid=GRID,
    formula="(-(1 - e)*ls(beta*h) + e*ls(-beta*h))/(1 - 2*e), e = label_smoothing",
    verified="closed form in double precision; ln 2 at policy == reference; unbiased under label flips",
)
def robust(pair: PairBatch, *, beta: float = 0.1, label_smoothing: float = 0.1) -> Tensor:
    """The loss whose mean over labels swapped with probability e is DPO's on clean labels; returns [N] nats.

    It has no lower bound: a learnt pair goes on paying e*beta*h/(1 - 2e). Its gradient at policy == reference
    is DPO's times 1/(1 - 2e).

    Source: arXiv:2403.00409 section 3.1; beta 0.1, label_smoothing 0.1 there. Below 0.5, where labels say nothing.

    Conventions: divided by 1 - 2e, as in the paper, TRL's `robust` and Liger; without the division and with
    the other sign before e it would be `cdpo`.
    """
    logits = beta * pair.margin
    kept = -(1.0 - label_smoothing) * F.logsigmoid(logits)
    swapped = -label_smoothing * F.logsigmoid(-logits)
    return (kept - swapped) / (1.0 - 2.0 * label_smoothing)
