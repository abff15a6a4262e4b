"""A row of the training curve: what a step's statistics come to. Its columns are declared in results/schema/row.py."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from harness.data.tokens import Row, row_tokens
from harness.training.feed import Batch
from harness.training.job import Job
from harness.training.objective import Statistics

CurveRow = dict[str, float]
Curve = list[CurveRow]


def curve_row(job: Job, batch: Batch, seen: Statistics, norm: float, lr: float) -> CurveRow:
    """The row of a step, without the running sums; norm: of the gradient before it was clipped."""
    good, bad = seen.preferred, ~seen.preferred
    row = {
        "step": batch.step + 1,
        "loss": seen.values.mean().item(),
        "reward_chosen": seen.rewards[good].mean().item(),
        "reward_rejected": seen.rewards[bad].mean().item(),
        "margin": seen.rewards[good].mean().item() - seen.rewards[bad].mean().item(),
        "accuracy": _accuracy(seen.rewards, batch.rows),
        "chosen_logp": seen.totals[good].mean().item(),
        "rejected_logp": seen.totals[bad].mean().item(),
        "gradient_norm": norm,
        "gradient_weight": seen.weights.mean().item() / job.hyperparameters.get("beta", 1.0),
        "clipped": bool(job.schedule.clip > 0 and norm > job.schedule.clip),
        "learning_rate": lr,
    }
    return row | {f"term_{name}": value.mean().item() for name, value in seen.terms.items()}


def appended(curve: Curve, row: CurveRow, rows: Sequence[Row], seconds: float) -> CurveRow:
    """The row with tokens and seconds since training began, now the curve's last."""
    last = curve[-1] if curve else {"tokens": 0, "seconds": 0.0}
    row["tokens"] = last["tokens"] + sum(map(row_tokens, rows))
    row["seconds"] = last["seconds"] + seconds
    curve.append(row)
    return row


def _accuracy(rewards: Tensor, rows: Sequence[Row]) -> float:
    """Share of pairs whose chosen completion has the higher reward, ties one half; NaN for unpaired rows."""
    if rows[0].desirable is not None:
        return math.nan
    margin = rewards[0::2] - rewards[1::2]
    return ((margin > 0).float() + 0.5 * (margin == 0).float()).mean().item()
