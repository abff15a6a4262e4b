"""Simple preference optimization by inverse perplexity: no reference and nothing to set.

Letters: cbar, rbar = mean log-probs per scored token of the chosen and rejected completion under the policy
(nats); exp(cbar) is the inverse of the chosen completion's perplexity.
"""

import torch
from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register


@register(
    "simper",
    paper="arXiv:2502.00883",
    reward="mean_log_prob",
    formula="-exp(cbar) + exp(rbar)",
    verified="closed form in double precision",
)
def simper(pair: PairBatch) -> Tensor:
    """Inverse perplexity of the rejected completion minus the chosen one's; returns [N], without unit, from -1 to 1.

    The gradient of a completion is its own inverse perplexity: a completion that is unlikely by now hardly moves,
    so rejected completions are not driven down without end, and unlikely chosen ones are not raised either.

    Source: arXiv:2502.00883.

    Conventions: means over the answer's tokens, as in the authors' code.
    """
    return torch.exp(pair.rejected.mean) - torch.exp(pair.chosen.mean)
