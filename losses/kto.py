"""Kahneman-Tversky optimization: single completions, each wanted or not wanted, no pairs required.

Letters: g = summed log-ratio of policy to reference of a completion (nats), z = mean log-ratio of policy to
reference on mismatched prompts and completions (nats, >= 0), s = sigmoid.
"""

import torch
from torch import Tensor

from losses.batch import ExampleBatch
from losses.registry import register


@register(
    "kto",
    paper="arXiv:2402.01306 eq. 7-8",
    needs={"reference", "mismatched"},
    reward="log_ratio",
    grid={"beta": (0.01, 0.05, 0.1)},
    formula="desirable_weight*(1 - s(beta*(g - z))) or undesirable_weight*(1 - s(beta*(z - g)))",
    verified="hand-computed values and gradients; 0.5 at policy == reference",
)
def kto(
    batch: ExampleBatch,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """One minus the value of each completion, gains counted from the reference point z; returns [N], without unit.

    z is a plain number here: no gradient flows through it, and the trainer computes it over the whole
    optimizer batch, so the loss treats every example apart.

    Source: arXiv:2402.01306 eq. 7-8; the weights are its lambda_D and lambda_U.

    Conventions: public trainers measure z inside a micro-batch or on one device, on the next answer of the
    micro-batch (HALOs) or of a shifted preprocessing batch (TRL), so it moves with the batch split. Here it
    belongs to the optimizer batch and to one fixed mismatching of the training rows. TRL turns pairs into
    runs of all chosen, then all rejected answers; here both answers of a pair stay in the same batch.

    Raises: ValueError where the batch has no z.
    """
    if batch.kl is None:
        raise ValueError(
            'kto compares with the drift z, but kl is missing from the batch; needs={"mismatched"} makes the '
            "trainer measure it; by hand, pass ExampleBatch(..., kl=max(0, mean mismatched log-ratio))."
        )
    gain = beta * (batch.log_ratio - batch.kl.detach())
    wanted = desirable_weight * (1.0 - torch.sigmoid(gain))
    unwanted = undesirable_weight * (1.0 - torch.sigmoid(-gain))
    return torch.where(batch.desirable, wanted, unwanted)
