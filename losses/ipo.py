"""Identity preference optimization, with log-ratios per token (`ipo`) and summed (`ipo_sum`).

Letters: a, d = summed log-ratios of policy to reference for the chosen and the rejected completion (nats),
nc, nr = their numbers of scored tokens, h = a - d.
"""

from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register


@register(
    "ipo",
    paper="TRL #1265; arXiv:2310.12036 eq. 17 has sums",
    needs={"reference"},
    reward="mean_log_ratio",
    grid={"beta": (0.01, 0.1, 0.5, 1.0)},
    formula="(a/nc - d/nr - 1/(2*beta))^2",
    verified="hand-computed values and gradients; 1/(4 beta^2) at policy == reference",
)
def ipo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """Squared distance of the per-token log-ratio margin from its target 1/(2 beta); returns [N] squared nats a token.

    The target is a finite margin, so a pair that is certain is not pushed further, unlike in DPO. At beta
    0.1 the target is 5 nats a token, out of reach for a short training run: then beta hardly acts.

    Source: arXiv:2310.12036, whose letter for beta is tau. What most people run today.

    Conventions: per-token means, as in TRL since January 2024 (#1265), HALOs and PaddleNLP. The paper, the
    DPO authors' code and OpenRLHF sum instead: that is `ipo_sum`, whose betas live on another scale.
    """
    return (pair.mean_margin - 1.0 / (2.0 * beta)) ** 2


@register(
    "ipo_sum",
    paper="arXiv:2310.12036 eq. 17",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.001, 0.005, 0.01, 0.05, 0.1)},
    formula="(h - 1/(2*beta))^2",
    verified="hand-computed values and gradients; 1/(4 beta^2) at policy == reference",
)
def ipo_sum(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """Squared distance of the summed log-ratio margin from its target 1/(2 beta); returns [N] squared nats.

    Source: arXiv:2310.12036 eq. 17, whose letter for beta is tau.

    Conventions: sums over tokens, as in the paper, the DPO authors' code and OpenRLHF; TRL, HALOs and
    PaddleNLP take means per token: that is `ipo`.
    """
    return (pair.margin - 1.0 / (2.0 * beta)) ** 2
