"""Contrastive preference optimization: a contrast without a reference, plus the likelihood of the chosen completion.

Letters: c, r = summed log-probs of the chosen and rejected completion under the policy (nats), cbar, rbar = their
means per scored token, ls = log sigmoid; alpha = weight of the likelihood term.
"""

import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register
from losses.simpo import simpo


def _cpo_contrast(pair: PairBatch, *, beta: float, alpha: float) -> Tensor:
    """The contrast of CPO: -ls(beta*(c - r)); [N]."""
    return -F.logsigmoid(beta * (pair.chosen.total - pair.rejected.total))


def _cpo_nll(pair: PairBatch, *, beta: float, alpha: float) -> Tensor:
    """The likelihood term with its weight: -alpha * cbar; [N]."""
    return -alpha * pair.chosen.mean


@register(
    "cpo",
    paper="arXiv:2401.08417 eq. 3",
    reward="log_prob",
    grid={"beta": (0.01, 0.05, 0.1)},
    lr_scale=10.0,
    formula="-ls(beta*(c - r)) - alpha*cbar",
    verified="closed form in double precision; terms add up",
    terms={"contrast": _cpo_contrast, "nll": _cpo_nll},
)
def cpo(pair: PairBatch, *, beta: float = 0.1, alpha: float = 1.0) -> Tensor:
    """DPO's contrast with a uniform reference, plus alpha times the chosen completion's likelihood; returns [N] nats.

    Its terms `contrast` and `nll` (weight included) add up to it. c - r compares completions as they are, so a
    completion that is long or rare from the start weighs heavily.

    Source: arXiv:2401.08417; beta 0.1, alpha 1 there.

    Conventions: likelihood over the answer only, as in TRL, and as a mean per sequence (see `sft`). TRL takes
    the mean over all chosen tokens of a micro-batch.
    """
    return _cpo_contrast(pair, beta=beta, alpha=alpha) + _cpo_nll(pair, beta=beta, alpha=alpha)


def _simpo_contrast(pair: PairBatch, *, beta: float, gamma_beta_ratio: float, alpha: float) -> Tensor:
    """The contrast of SimPO; [N]."""
    return simpo(pair, beta=beta, gamma_beta_ratio=gamma_beta_ratio)


def _simpo_nll(pair: PairBatch, *, beta: float, gamma_beta_ratio: float, alpha: float) -> Tensor:
    """The likelihood term with its weight: -alpha * cbar; [N]."""
    return -alpha * pair.chosen.mean


@register(
    "cpo_simpo",
    paper="github.com/fe1ixxu/CPO_SIMPO; TRL #1760",
    reward="mean_log_prob",
    grid={"beta": (10.0,), "gamma_beta_ratio": (0.54,), "alpha": (0.05,)},
    formula="-ls(beta*(cbar - rbar) - gamma) - alpha*cbar, gamma = gamma_beta_ratio*beta",
    verified="closed form in double precision; equals simpo at alpha 0",
    terms={"contrast": _simpo_contrast, "nll": _simpo_nll},
)
def cpo_simpo(pair: PairBatch, *, beta: float = 10.0, gamma_beta_ratio: float = 0.54, alpha: float = 0.05) -> Tensor:
    """SimPO plus alpha times the chosen completion's likelihood; returns [N] nats.

    Its terms `contrast` and `nll` (weight included) add up to it. alpha is small, so the learning rate is
    SimPO's and not that of a likelihood.

    Source: the authors' repository; the defaults are its configuration for Llama-3-8B-Instruct (beta 10,
    gamma 5.4, alpha 0.05).

    Conventions: the margin is relative to beta, as in `simpo`. TRL's CPO trainer with `loss_type="simpo"` is
    this loss with alpha 1 unless `cpo_alpha` says otherwise; its likelihood term as in `cpo`.
    """
    settings = {"beta": beta, "gamma_beta_ratio": gamma_beta_ratio, "alpha": alpha}
    return _simpo_contrast(pair, **settings) + _simpo_nll(pair, **settings)
