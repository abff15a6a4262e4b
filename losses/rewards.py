"""The rewards under which losses rank completions: they order pairs in training curves and in reward accuracy.

Letters: c = summed log-prob of a completion under the policy (nats), rc = under the reference, nc = number of
scored tokens, a = c - rc, cbar = c / nc. None of them is multiplied by beta, which changes no ranking.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from losses.batch import SequenceLogProbs
from losses.numerics import nearest

REWARDS = ("log_ratio", "mean_log_ratio", "log_prob", "mean_log_prob", "log_odds")

# A mean log-prob nearer to 0 than this counts as this far away. The nearest that a float32 log-softmax
# can come to 0 without being 0 is about 1e-7 nats a token, so the limit is met by certain completions only.
CERTAIN = 1e-12


def reward(name: str, policy: SequenceLogProbs, reference: SequenceLogProbs | None) -> Tensor:
    """[N] reward of each sequence by its name, in nats.

    log_ratio = a, mean_log_ratio = a / nc, log_prob = c, mean_log_prob = cbar,
    log_odds = cbar - log(1 - exp(cbar)).

    Raises: ValueError for an unknown name, or a ratio without a reference.
    """
    if name not in REWARDS:
        raise ValueError(f"unknown reward {name!r}; {nearest(name, REWARDS)}Known: {', '.join(REWARDS)}.")
    if name == "log_prob":
        return policy.total
    if name == "mean_log_prob":
        return policy.mean
    if name == "log_odds":
        return log_odds(policy.mean)
    if reference is None:
        raise ValueError(f"reward {name!r} compares with the reference, but none was given.")
    ratio = policy.total - reference.total
    return ratio if name == "log_ratio" else ratio / policy.count.to(ratio.dtype)


def log_odds(mean_logp: Tensor) -> Tensor:
    """log(p / (1 - p)) for p = exp(mean_logp); [N] nats in, [N] nats out. arXiv:2403.07691 eq. 4."""
    return mean_logp - log1mexp(mean_logp)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x <= 0, nats [...] of any shape, with finite value and gradient everywhere, 0 included.

    Near 0, 1 - exp(x) loses its digits and expm1 keeps them; far from 0, log1p does. The far branch only
    sees inputs of its own range: near 0 its slope is infinite, and `torch.where` would multiply that by zero
    and return NaN. At x > -CERTAIN the value is that at -CERTAIN and the slope is 0: such a completion
    has probability 1, and the softmax below it lets no gradient through anyway.
    """
    x = x.clamp(max=-CERTAIN)
    is_near = x > -math.log(2.0)
    near = torch.log(-torch.expm1(x))
    far = torch.log1p(-torch.exp(torch.where(is_near, -math.log(2.0), x)))
    return torch.where(is_near, near, far)
