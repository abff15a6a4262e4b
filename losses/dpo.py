"""Direct preference optimization.

Letters: c, r = summed log-probs of the chosen and rejected completion under the policy (nats), rc, rr = the same
under the reference; a = c - rc, d = r - rr, h = a - d; ls = log sigmoid.
"""

import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register


@register(
    "dpo",
    paper="arXiv:2305.18290 eq. 7",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.01, 0.05, 0.1)},
    formula="-ls(beta*h)",
    verified="hand-computed values and gradients; ln 2 at policy == reference",
)
def dpo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """Logistic loss on the difference of the two summed log-ratios; returns [N] nats.

    The gradient with respect to c is -beta * sigmoid(-beta*h): the weight falls as the pair is learnt.

    Source: arXiv:2305.18290 eq. 7; beta 0.1 there, 0.5 for TL;DR summaries.

    Conventions: sums over the answer's tokens, as in the paper, its authors' code and TRL's `sigmoid`. No
    label smoothing: TRL's `sigmoid` accepts it and ignores it since 0.29; a smoothed loss is another name.
    """
    return -F.logsigmoid(beta * pair.margin)
