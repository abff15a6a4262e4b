"""Efficient exact optimization for pairs: the reverse KL between two distributions over the two completions.

Letters: h = difference of the summed log-ratios of the chosen and the rejected completion (nats), x = beta*h,
s = sigmoid, ls = log sigmoid, e = label_smoothing.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register


@register(
    "exo_pair",
    paper="arXiv:2402.00856 eq. 16",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.1,), "label_smoothing": (0.001,)},
    formula="s(x)*(ls(x) - log(1 - e)) + s(-x)*(ls(-x) - log(e)), x = beta*h, e = label_smoothing",
    verified="closed form in double precision; 0 and flat at s(x) = 1 - e",
)
def exo_pair(pair: PairBatch, *, beta: float = 0.1, label_smoothing: float = 0.001) -> Tensor:
    """KL divergence from the policy's choice (s(x), s(-x)) to the labels (1 - e, e); returns [N] nats.

    DPO's cross-entropy takes the KL the other way round: it must cover the labels, this one seeks their mode.
    A hopeless pair costs at most -log(e), and hardly pulls.

    Source: arXiv:2402.00856 eq. 16; e = 0.001, beta 0.1 there.

    Conventions: the same in TRL (`exo_pair`). Some ports replace an e of 0 by 0.001 in silence.

    Raises: ValueError for an e that is not above 0: a label of probability 0 costs infinity.
    """
    if label_smoothing <= 0.0:
        raise ValueError(f"exo_pair.label_smoothing is {label_smoothing!r}, allowed: above 0 and below 0.5.")
    x = beta * pair.margin
    right = torch.sigmoid(x) * (F.logsigmoid(x) - math.log1p(-label_smoothing))
    wrong = torch.sigmoid(-x) * (F.logsigmoid(-x) - math.log(label_smoothing))
    return right + wrong
