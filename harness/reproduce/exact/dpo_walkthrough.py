"""`dpo-walkthrough`: one pair worked by hand through DPO (arXiv:2305.18290), beside the registered loss.

Log-probs of the policy -3.50 and -6.00, of the reference -4.00 and -5.00, beta 0.5, completions of 7 and 10 tokens.
Loss and weight come from the registered loss and its gradient; log-ratios and rewards from the batch and the reward.
"""

from __future__ import annotations

import math

import torch

import losses
from harness.reproduce.exact.batches import TOKENS, on_pair, sequence
from harness.reproduce.frame import Check, Request, bound, number
from results.literature.tables import table

BETA = 0.5
POLICY, REFERENCE = (-3.50, -6.00), (-4.00, -5.00)
TOLERANCE = 5e-4


def reproduce(request: Request) -> list[Check]:
    """Every worked number to its printed digits, and the direction of both gradients."""
    printed = table("dpo_walkthrough")["dpo"]
    ours = _computed()
    checks = [number("dpo", name, value, ours[name], TOLERANCE) for name, value in printed.items()]
    found = on_pair("dpo", POLICY, REFERENCE, beta=BETA)
    return [
        *checks,
        bound("dpo", "gradient on the chosen completion", "raises it", found.chosen_gradient, high=-0.1),
        bound("dpo", "gradient on the rejected completion", "lowers it", found.rejected_gradient, low=0.1),
    ]


def _computed() -> dict[str, float]:
    """The quantities of the walk-through, named as in the table."""
    found = on_pair("dpo", POLICY, REFERENCE, beta=BETA)
    reward = losses.get("dpo").reward
    ratios = [_reward(reward, side) for side in (0, 1)]
    return {
        "chosen_log_ratio": ratios[0],
        "rejected_log_ratio": ratios[1],
        "chosen_reward": BETA * ratios[0],
        "rejected_reward": BETA * ratios[1],
        "reward_margin": BETA * (ratios[0] - ratios[1]),
        "probability": math.exp(-found.loss),
        "loss": found.loss,
        "gradient_weight": -found.chosen_gradient / BETA,
    }


def _reward(reward: str, side: int) -> float:
    policy, reference = (
        sequence(torch.tensor([values[side]], dtype=torch.float64), TOKENS[side]) for values in (POLICY, REFERENCE)
    )
    return float(losses.reward(reward, policy, reference))
