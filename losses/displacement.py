"""DPO guarded against displacement: chosen completions that become less likely while the margin grows.

Letters: a, d = summed log-ratios of policy to reference for the chosen and the rejected completion (nats),
h = a - d; ls = log sigmoid.
"""

import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register


@register(
    "dpop",
    paper="arXiv:2402.13228 (DPO-Positive, Smaug)",
    needs={"reference"},
    reward="log_ratio",
    grid={"penalty_weight": (50.0,)},
    formula="-ls(beta*(h - penalty_weight*max(0, -a)))",
    verified="closed form in double precision; equals dpo while a >= 0",
)
def dpop(pair: PairBatch, *, beta: float = 0.1, penalty_weight: float = 50.0) -> Tensor:
    """DPO whose margin loses penalty_weight for each nat that the chosen completion falls; returns [N] nats.

    Source: arXiv:2402.13228, whose letter for the weight is lambda.

    Conventions: the penalty stands inside beta, as in PaddleNLP and SamPO's code, where 50 is the default.
    At a = 0 its slope is taken as 0.
    """
    fall = (-pair.chosen_log_ratio).relu()
    return -F.logsigmoid(beta * (pair.margin - penalty_weight * fall))


@register(
    "dpo_shift",
    paper="arXiv:2502.07599, fixed factor",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.1,), "factor": (0.5, 0.95)},
    formula="-ls(beta*(a - factor*d))",
    verified="closed form in double precision; equals dpo at factor 1",
)
def dpo_shift(pair: PairBatch, *, beta: float = 0.1, factor: float = 0.95) -> Tensor:
    """DPO that pushes the rejected completion down by less than it pulls the chosen one up; returns [N] nats.

    Source: arXiv:2502.07599, whose f(lambda) is `factor`; 0.5 to 0.95 there.

    Conventions: as the authors' code with `dpo_lambda_strategy="fixed"`.
    """
    return -F.logsigmoid(beta * (pair.chosen_log_ratio - factor * pair.rejected_log_ratio))


@register(
    "dpo_shift_linear",
    paper="arXiv:2502.07599, linear factor",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.1,)},
    formula="-ls(beta*(a - f*d)), f from start_factor to end_factor over the steps",
    verified="closed form in double precision at several steps; equals dpo_shift at equal factors",
)
def dpo_shift_linear(
    pair: PairBatch, *, beta: float = 0.1, start_factor: float = 0.95, end_factor: float = 1.0
) -> Tensor:
    """`dpo_shift` whose factor moves in a straight line over the training; returns [N] nats.

    Source: arXiv:2502.07599.

    Conventions: f = start + (end - start) * step/max_steps with steps counted from 0, as in the authors' code
    (`increase_linear`; `decrease_linear` is start above end). Without max_steps the factor is start_factor.
    """
    progress = pair.step / pair.max_steps if pair.max_steps else 0.0
    return dpo_shift(pair, beta=beta, factor=start_factor + (end_factor - start_factor) * progress)
