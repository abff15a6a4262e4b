"""Weighted preference optimization: pairs count by how likely the present policy is to say them.

Letters: h = difference of the summed log-ratios of the chosen and the rejected completion (nats), l_t = log-prob
of a completion's token t under the policy, S_t = sum over the vocabulary of the squared probabilities at t,
n = number of the completion's tokens; ls = log sigmoid.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch, SequenceLogProbs
from losses.registry import register

STATISTIC = "log_sum_p2"


@register(
    "wpo",
    paper="arXiv:2406.11827 eq. 2",
    needs={"reference", "tokens", f"stats:{STATISTIC}"},
    reward="log_ratio",
    grid={"beta": (0.01,)},
    formula="-w(chosen)*w(rejected)*ls(beta*h), w = exp(mean_t(l_t - log(S_t))), without gradient",
    verified="token by token in double precision; weight 1 for a uniform policy; equals dpo at weight 1",
)
def wpo(pair: PairBatch, *, beta: float = 0.01) -> Tensor:
    """DPO weighted by the probability of both completions, relative to what the policy expects; returns [N] nats.

    The weight makes old completions resemble fresh samples of the policy. S_t is the expected probability of a
    token that the policy draws itself; dividing by it takes away how certain the policy is in general.

    Source: arXiv:2406.11827 eq. 2; beta 0.01 there.

    Conventions: the same as TRL's `use_weighting` with its `sigmoid`; weights are not clamped there either.

    Raises: ValueError where the batch has no token log-probs or no statistic `log_sum_p2`.
    """
    weights = torch.exp(_log_weight(pair.chosen) + _log_weight(pair.rejected))
    return -weights * F.logsigmoid(beta * pair.margin)


@torch.no_grad()
def _log_weight(side: SequenceLogProbs) -> Tensor:
    """[N] mean over scored tokens of l_t - log S_t, without gradient. Raises: ValueError where either is missing."""
    stats = side.stats or {}
    if side.tokens is None or side.mask is None or STATISTIC not in stats:
        raise ValueError(
            f'wpo reads token log-probs and their {STATISTIC}; needs={{"tokens", "stats:{STATISTIC}"}} makes the '
            f"trainer compute them; by hand, pass SequenceLogProbs.from_tokens(..., stats={{{STATISTIC!r}: ...}})."
        )
    relative = (side.tokens - stats[STATISTIC]).masked_fill(~side.mask.bool(), 0.0)
    return relative.sum(-1) / side.count.to(relative.dtype)
