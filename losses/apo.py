"""Anchored preference optimization: each completion is moved against the reference, in a direction chosen by hand.

Letters: a, d = summed log-ratios of policy to reference for the chosen and the rejected completion (nats), g =
that of a single completion, h = a - d, s = sigmoid.
"""

import torch
from torch import Tensor

from losses.batch import ExampleBatch, PairBatch
from losses.registry import register

GRID = {"beta": (0.1,)}


@register(
    "apo_zero",
    paper="arXiv:2408.06266 eq. 7",
    needs={"reference"},
    reward="log_ratio",
    grid=GRID,
    formula="1 - s(beta*a) + s(beta*d)",
    verified="closed form in double precision; 1 at policy == reference",
)
def apo_zero(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """Raises chosen completions and lowers rejected ones, each on its own; returns [N], without unit.

    For data whose chosen completions are better than what the model would say. Far from the reference on either
    side a completion stops counting.

    Source: arXiv:2408.06266 eq. 7; beta 0.1 there.

    Conventions: the same in TRL (`apo_zero`).
    """
    return torch.sigmoid(-beta * pair.chosen_log_ratio) + torch.sigmoid(beta * pair.rejected_log_ratio)


@register(
    "apo_down",
    paper="arXiv:2408.06266 eq. 8",
    needs={"reference"},
    reward="log_ratio",
    grid=GRID,
    formula="s(beta*a) + 1 - s(beta*h)",
    verified="closed form in double precision; 1 at policy == reference, with no pull on the chosen answer",
)
def apo_down(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """Lowers chosen completions, and rejected ones more; returns [N], without unit.

    For data whose chosen completions are worse than what the model would say. At policy == reference the two
    forces on the chosen completion cancel and only the rejected one moves.

    Source: arXiv:2408.06266 eq. 8; beta 0.1 there.

    Conventions: the same in TRL (`apo_down`).
    """
    return torch.sigmoid(beta * pair.chosen_log_ratio) + torch.sigmoid(-beta * pair.margin)


@register(
    "apo_zero_unpaired",
    paper="arXiv:2408.06266 eq. 7, for single answers",
    needs={"reference"},
    reward="log_ratio",
    grid=GRID,
    formula="1 - s(beta*g) or s(beta*g)",
    verified="closed form in double precision; 0.5 at policy == reference; half of apo_zero on pairs",
)
def apo_zero_unpaired(batch: ExampleBatch, *, beta: float = 0.1) -> Tensor:
    """`apo_zero` on single rated completions; returns [N], without unit. On pairs its mean is half of `apo_zero`'s.

    It is `kto` with the reference point z fixed at 0.

    Source: arXiv:2408.06266 eq. 7, one answer at a time.

    Conventions: TRL's KTO trainer with `loss_type="apo_zero_unpaired"`, weights 1.
    """
    gain = beta * batch.log_ratio
    return torch.sigmoid(torch.where(batch.desirable, -gain, gain))
