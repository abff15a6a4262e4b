"""DPO with another f-divergence than the reverse KL holding the policy to the reference.

Letters: u = exp(a) = ratio of policy to reference probability of the chosen completion, v = exp(d) that of the
rejected one (a, d summed log-ratios in nats); f = the divergence's generator, f' its derivative, which takes
the place of the log-ratio; ls = log sigmoid. The reverse KL has f'(u) = log u + 1: plain `dpo`.
"""

import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.numerics import exp_or_tangent
from losses.registry import register

PAPER = "arXiv:2309.16240, "


@register(
    "dpo_forward_kl",
    paper=PAPER + "forward KL: f'(u) = -1/u up to a constant",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.1,)},
    formula="-ls(beta*(exp(-d) - exp(-a)))",
    verified="closed form in double precision; ln 2 at policy == reference",
)
def dpo_forward_kl(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """DPO under a forward-KL constraint: covers what the reference covers; returns [N] nats.

    exp(-d) grows without bound as a completion becomes unlikely, so such pairs dominate. Beyond 30 nats of
    decline exp goes on as its tangent (`losses.numerics`): float32 would overflow at 88, and the norm of a
    gradient sooner.

    Source: arXiv:2309.16240; in this form TRL's `f_divergence_type="forward_kl"`.

    Conventions: the constant of f' cancels between the answers and is left out. TRL neither bounds nor
    clamps the exponential.
    """
    scores = exp_or_tangent(-pair.rejected_log_ratio) - exp_or_tangent(-pair.chosen_log_ratio)
    return -F.logsigmoid(beta * scores)


@register(
    "dpo_js",
    paper=PAPER + "Jensen-Shannon: f'(u) = log(2u/(1 + u))",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.1,)},
    formula="-ls(beta*(ls(a) - ls(d)))",
    verified="closed form in double precision; ln 2 at policy == reference",
)
def dpo_js(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """DPO under a Jensen-Shannon constraint; returns [N] nats.

    log(2u/(1 + u)) = ln 2 + ls(a) is at most ln 2: raising the chosen completion earns ever less, lowering the
    rejected one as much as in DPO.

    Source: arXiv:2309.16240.

    Conventions: ln 2 cancels between the answers. The same in TRL (`js_divergence`).
    """
    return -F.logsigmoid(beta * (F.logsigmoid(pair.chosen_log_ratio) - F.logsigmoid(pair.rejected_log_ratio)))


@register(
    "dpo_alpha",
    paper=PAPER + "alpha-divergence: f'(u) = (u^(alpha - 1) - 1)/(alpha - 1)",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.1,)},
    formula="-ls(beta*(exp((alpha - 1)*a) - exp((alpha - 1)*d))/(alpha - 1))",
    verified="closed form in double precision; equals dpo at alpha 1 and dpo_forward_kl at alpha 0",
)
def dpo_alpha(pair: PairBatch, *, beta: float = 0.1, alpha: float = 0.5) -> Tensor:
    """DPO under an alpha-divergence, between forward KL (alpha 0) and reverse KL (alpha 1); returns [N] nats.

    Exponents beyond 30 go on as a tangent, see `dpo_forward_kl`.

    Source: arXiv:2309.16240.

    Conventions: alpha as in TRL 1.16, whose default 0.5 this is. Older TRL writes f'(u) = (1 - u^-alpha)/alpha,
    whose alpha is 1 minus this one; at 0.5 both agree. TRL clamps the exponent at 80, where the gradient ends.
    """
    power = alpha - 1.0
    if power == 0.0:  # the limit: f'(u) = log u
        return -F.logsigmoid(beta * pair.margin)
    chosen, rejected = pair.chosen_log_ratio, pair.rejected_log_ratio
    return -F.logsigmoid(beta * (exp_or_tangent(power * chosen) - exp_or_tangent(power * rejected)) / power)
