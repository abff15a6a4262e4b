"""Noise-contrastive alignment: each completion classified on its own as the policy's or the reference's.

Letters: a, d = summed log-ratios of policy to reference for the chosen and the rejected completion (nats);
ls = log sigmoid.
"""

import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register


@register(
    "nca_pair",
    paper="arXiv:2402.05369",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.01,)},
    formula="-ls(beta*a) - ls(-beta*a)/2 - ls(-beta*d)/2",
    verified="closed form in double precision; 2 ln 2 at policy == reference",
)
def nca_pair(pair: PairBatch, *, beta: float = 0.01) -> Tensor:
    """Raises the chosen completion and holds both back to the reference's level; returns [N] nats.

    The absolute log-ratios count, not their difference alone: the chosen completion's best is s(beta*a) = 2/3,
    so its likelihood cannot be given away for a margin.

    Source: arXiv:2402.05369 section 4.1, for pairs; beta 0.01 there.

    Conventions: the same in TRL (`nca_pair`).
    """
    chosen, rejected = beta * pair.chosen_log_ratio, beta * pair.rejected_log_ratio
    return -F.logsigmoid(chosen) - 0.5 * F.logsigmoid(-chosen) - 0.5 * F.logsigmoid(-rejected)
