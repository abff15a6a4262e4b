"""SimPO with a reshaped reward: a power of the probability in place of its logarithm.

Letters: cbar, rbar = mean log-probs per scored token of the chosen and rejected completion under the policy
(nats), ls = log sigmoid, gamma = gamma_beta_ratio * beta, the target margin.
"""

import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.numerics import exp_or_tangent
from losses.registry import register
from losses.simpo import simpo


@register(
    "alphapo",
    paper="arXiv:2501.03884",
    reward="mean_log_prob",
    grid={"beta": (2.5,), "alpha": (0.25,)},
    formula="-ls(beta*(exp(-alpha*rbar) - exp(-alpha*cbar))/alpha - gamma), gamma = gamma_beta_ratio*beta",
    verified="closed form in double precision; equals simpo at alpha 0",
)
def alphapo(pair: PairBatch, *, beta: float = 2.5, gamma_beta_ratio: float = 0.04, alpha: float = 0.25) -> Tensor:
    """SimPO with the reward (1 - p^-alpha)/alpha in place of log p, p = exp(mean log-prob); returns [N] nats.

    Both rewards rank completions alike. For alpha above 0 an unlikely completion counts for more than in SimPO.
    An exponent above 30 goes on as its tangent (`losses.numerics`).

    Source: arXiv:2501.03884; the defaults are its setting for Mistral-Instruct (table 3), with gamma 0.1.

    Conventions: p is the mean per token, as in the paper. TRL's CPO trainer with `alpha` takes sums unless
    `loss_type="simpo"`, which underflows for long answers, an absolute `simpo_gamma`, and adds a likelihood
    term unless `cpo_alpha=0`.
    """
    gamma = gamma_beta_ratio * beta
    if alpha == 0.0:  # the limit: log p
        return simpo(pair, beta=beta, gamma_beta_ratio=gamma_beta_ratio)
    scores = (exp_or_tangent(-alpha * pair.rejected.mean) - exp_or_tangent(-alpha * pair.chosen.mean)) / alpha
    return -F.logsigmoid(beta * scores - gamma)
