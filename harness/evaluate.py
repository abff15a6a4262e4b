"""Held-out rows -> the pair table: one forward that serves every metric, loss and strength."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.reference import Scores
from harness.tokens import Row
from results.columns import SOURCE

if TYPE_CHECKING:
    from pandas import DataFrame


def pair_table(rows: Sequence[Row], policy: Scores, reference: Scores, step: int) -> DataFrame:
    """One line a row: log-probs in nats (summed over scored tokens) and token counts.

    An unpaired example fills the side it belongs to; the other side is missing. A column `source` is there
    where the rows come from several.
    """
    import pandas as pd

    lines, several = [], len({row.source for row in rows}) > 1
    for row, ours, theirs in zip(rows, policy, reference, strict=True):
        # The sum is taken in float64: of fp32 tokens it is exact enough to depend on no order.
        sums = [answer.double().sum().item() for answer in ours]
        starts = [answer.double().sum().item() for answer in theirs]
        line: dict[str, object] = {
            "pair_id": row.id, "cluster_id": row.cluster, "split": row.split, "step": step,
        }  # fmt: skip
        for side, index in _sides(row):
            line[f"policy_{side}_logp"] = math.nan if index is None else sums[index]
            line[f"reference_{side}_logp"] = math.nan if index is None else starts[index]
            line[f"{side}_tokens"] = math.nan if index is None else len(row.answers[index])
        line["prompt_tokens"] = len(row.prompt)
        line |= {SOURCE.name: row.source} if several else {}
        lines.append(line)
    return pd.DataFrame(lines)


def _sides(row: Row) -> tuple[tuple[str, int | None], tuple[str, int | None]]:
    """Which answer of the row stands on which side."""
    if row.desirable is None:
        return ("chosen", 0), ("rejected", 1)
    return ("chosen", 0 if row.desirable else None), ("rejected", None if row.desirable else 0)
