"""Hinge losses: a pair that is ahead by its margin no longer counts.

Letters: c, r = summed log-probs of the chosen and rejected completion under the policy (nats), cbar, rbar = their
means per scored token, h = difference of the summed log-ratios of policy to reference.
"""

from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register


@register(
    "hinge",
    paper="arXiv:2309.06657 (RSO), on the calibration of arXiv:2305.10425",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.05,)},
    formula="max(0, 1 - beta*h)",
    verified="hand-computed values and gradients; 1 at policy == reference",
)
def hinge(pair: PairBatch, *, beta: float = 0.05) -> Tensor:
    """Distance of the summed log-ratio margin from 1/beta, while it is short of it; returns [N], without unit.

    The gradient is beta up to the margin 1/beta (20 nats at the default) and 0 beyond.

    Source: arXiv:2309.06657, whose letter for beta is gamma; 0.05 there.

    Conventions: the same in TRL (`hinge`). LLaMA-Factory 0.9.5 does not hand its `pref_loss` on to TRL 0.20 to
    0.24 and so trains DPO under this name, and under `ipo`.
    """
    return (1.0 - beta * pair.margin).relu()


def _slic_rank(pair: PairBatch, *, delta: float, alpha: float) -> Tensor:
    """The ranking term of SLiC: max(0, delta - (c - r)); [N]."""
    return (delta - (pair.chosen.total - pair.rejected.total)).relu()


def _slic_nll(pair: PairBatch, *, delta: float, alpha: float) -> Tensor:
    """The likelihood term of SLiC with its weight: -alpha * cbar; [N]."""
    return -alpha * pair.chosen.mean


@register(
    "slic",
    paper="arXiv:2305.10425 (SLiC-HF)",
    reward="log_prob",
    grid={"delta": (1.0,), "alpha": (0.1,)},
    formula="max(0, delta - (c - r)) - alpha*cbar",
    verified="hand-computed values and gradients",
    terms={"rank": _slic_rank, "nll": _slic_nll},
)
def slic(pair: PairBatch, *, delta: float = 1.0, alpha: float = 0.1) -> Tensor:
    """Hinge on the summed log-probs with margin delta (nats), plus alpha times the likelihood; returns [N] nats.

    No reference: a completion that was unlikely from the start has to be raised above the other one. Its terms
    `rank` and `nll` (weight included) add up to it. While pairs are short of delta the ranking term
    dominates, so the learning rate is that of a contrast.

    Source: arXiv:2305.10425 section 2; the defaults are those of HALOs.

    Conventions: mean per sequence in the likelihood term (see `sft`). TRL's CPO trainer with
    `loss_type="hinge"` has a margin of 1/beta, multiplies the ranking term by beta, and averages the likelihood
    over the tokens of a micro-batch. HALOs averages it over a padded row, prompt included. The
    likelihood is that of the chosen answers, as in HALOs.
    """
    return _slic_rank(pair, delta=delta, alpha=alpha) + _slic_nll(pair, delta=delta, alpha=alpha)


def _rrhf_rank(pair: PairBatch, *, alpha: float) -> Tensor:
    """The ranking term of RRHF: max(0, rbar - cbar); [N]."""
    return (pair.rejected.mean - pair.chosen.mean).relu()


def _rrhf_nll(pair: PairBatch, *, alpha: float) -> Tensor:
    """The likelihood term of RRHF with its weight: -alpha * c; [N]."""
    return -alpha * pair.chosen.total


@register(
    "rrhf",
    paper="arXiv:2304.05302, for two answers",
    reward="mean_log_prob",
    lr_scale=10.0,
    formula="max(0, rbar - cbar) - alpha*c",
    verified="hand-computed values and gradients",
    terms={"rank": _rrhf_rank, "nll": _rrhf_nll},
)
def rrhf(pair: PairBatch, *, alpha: float = 1.0) -> Tensor:
    """Hinge without margin on mean log-probs, plus alpha times the summed likelihood; returns [N] nats.

    Its terms `rank` and `nll` (weight included) add up to it. The likelihood term is a sum over tokens and
    the ranking term a mean, so at alpha 1 it is mostly supervised tuning: read it beside `sft`.

    Source: arXiv:2304.05302: ranks by mean log-prob, plus the likelihood of the best completion. alpha 1 is the
    plain sum of both.

    Conventions: the likelihood is summed over the answer; public trainers average it over padded positions.
    Their `length_penalty`, an exponent on the length, is 1 here.
    """
    return _rrhf_rank(pair, alpha=alpha) + _rrhf_nll(pair, alpha=alpha)
