"""Losses that set each completion's log-ratio a target of its own: the chosen one above 0, the rejected one below.

Letters: a, d = summed log-ratios of policy to reference for the chosen and the rejected completion (nats),
h = a - d, ls = log sigmoid. The targets are 1/(2 beta) and -1/(2 beta).
"""

import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register


def _calibration(pair: PairBatch, *, beta: float) -> Tensor:
    """(a - 1/(2 beta))^2 + (d + 1/(2 beta))^2; [N] squared nats."""
    target = 1.0 / (2.0 * beta)
    return (pair.chosen_log_ratio - target) ** 2 + (pair.rejected_log_ratio + target) ** 2


@register(
    "sppo_hard",
    paper="arXiv:2405.00675 eq. 4.7, with hard win probabilities 1 and 0",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.001,)},
    formula="(a - 1/(2*beta))^2 + (d + 1/(2*beta))^2",
    verified="hand-computed values and gradients; 1/(2 beta^2) at policy == reference",
)
def sppo_hard(pair: PairBatch, *, beta: float = 0.001) -> Tensor:
    """Squared distances of both log-ratios from their targets; returns [N] squared nats.

    `ipo_sum` sets a target to the difference alone and lets both completions move; here both are held. Values
    are large (500,000 at the default beta at the start); gradient clipping takes that away.

    Source: arXiv:2405.00675 eq. 4.7, whose eta is 1/beta: 1000 there.

    Conventions: win probabilities 1 and 0, as in TRL (`sppo_hard`); the paper estimates them by a model of
    preferences over several samples.
    """
    return _calibration(pair, beta=beta)


def _contrast(pair: PairBatch, *, beta: float) -> Tensor:
    """The contrast of Cal-DPO, without beta: -ls(h); [N]."""
    return -F.logsigmoid(pair.margin)


def _half_calibration(pair: PairBatch, *, beta: float) -> Tensor:
    """The calibration of Cal-DPO with its weight one half; [N]."""
    return 0.5 * _calibration(pair, beta=beta)


@register(
    "cal_dpo",
    paper="arXiv:2412.14516",
    needs={"reference"},
    reward="log_ratio",
    formula="-ls(h) + ((a - 1/(2*beta))^2 + (d + 1/(2*beta))^2)/2",
    verified="hand-computed values and gradients; ln 2 + 1/(4 beta^2) at policy == reference",
    terms={"contrast": _contrast, "calibration": _half_calibration},
)
def cal_dpo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """Logistic contrast plus half of both squared distances from the targets; returns [N] nats plus squared nats.

    beta sets the targets and does not scale the contrast. Its terms `contrast` and `calibration` (weight
    included) add up to it.

    Source: arXiv:2412.14516, and its authors' code.

    Conventions: squares are taken for each pair. The authors' code takes their mean over the batch and adds
    it to every pair: the same mean loss and gradient.
    """
    return _contrast(pair, beta=beta) + _half_calibration(pair, beta=beta)
