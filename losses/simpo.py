"""Simple preference optimization: no reference, rewards per token, a target margin.

Letters: cbar, rbar = mean log-probs per scored token of the chosen and rejected completion under the policy
(nats), ls = log sigmoid.
"""

import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register


@register(
    "simpo",
    paper="arXiv:2405.14734 eq. 6",
    reward="mean_log_prob",
    grid={"beta": (2.0, 2.5, 10.0), "gamma_beta_ratio": (0.1, 0.3, 0.5, 0.8)},
    formula="-ls(beta*(cbar - rbar) - gamma), gamma = gamma_beta_ratio*beta",
    verified="hand-computed values and gradients",
)
def simpo(pair: PairBatch, *, beta: float = 2.0, gamma_beta_ratio: float = 0.5) -> Tensor:
    """Logistic loss on the margin of mean log-probs, less a target margin gamma; returns [N] nats.

    gamma = gamma_beta_ratio * beta. The defaults are the authors' starting point for tuning: gamma is 1.0.

    Source: arXiv:2405.14734 eq. 6. Beta is 2 to 10, not 0.1: means per token are small numbers.

    Conventions: the margin is given relative to beta, as in the authors' code, HALOs and open-instruct; TRL
    takes an absolute `simpo_gamma`. No likelihood term: TRL's CPO trainer adds one unless `cpo_alpha=0`.
    """
    gamma = gamma_beta_ratio * beta
    return -F.logsigmoid(beta * (pair.chosen.mean - pair.rejected.mean) - gamma)
