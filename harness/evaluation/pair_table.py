"""Held-out rows -> the pair table: one forward that serves every metric, loss and beta."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from harness.cache import writing
from harness.data.tokens import Row
from harness.model.reference import Scores
from results.cells.frames import parquet_bytes, read_parquet, typed_frame
from results.metrics.pair_table import FIRST_TOKENS
from results.schema.row import PAIR_COLUMNS, SOURCE

if TYPE_CHECKING:
    from pandas import DataFrame


def pair_table(rows: Sequence[Row], policy: Scores, reference: Scores, step: int) -> DataFrame:
    """One line a row: log-probs in nats (summed over scored tokens, and over the first of them) and token counts.

    An unpaired example fills the side it belongs to; the other side is missing, and so is the similarity. A column
    `source` is there where the rows come from several.
    """
    import pandas as pd

    lines, several = [], len({row.source for row in rows}) > 1
    for row, ours, theirs in zip(rows, policy, reference, strict=True):
        line: dict[str, object] = {
            "pair_id": row.id,
            "cluster_id": row.cluster,
            "split": row.split,
            "step": step,
        }
        for side, index in _sides(row):
            for owner, scores in (("policy", ours), ("reference", theirs)):
                # The sum is taken in float64: of fp32 tokens it is exact enough to depend on no order.
                tokens = None if index is None else scores[index].double()
                line[f"{owner}_{side}_logp"] = math.nan if tokens is None else tokens.sum().item()
                line[f"{owner}_{side}_logp_first"] = math.nan if tokens is None else tokens[:FIRST_TOKENS].sum().item()
            line[f"{side}_tokens"] = math.nan if index is None else len(row.completions[index])
        line["prompt_tokens"] = len(row.prompt)
        line["edit_similarity"] = edit_similarity(*row.completions) if row.desirable is None else math.nan
        line |= {SOURCE.name: row.source} if several else {}
        lines.append(line)
    return pd.DataFrame(lines)


def keep_table(folder: Path, table: DataFrame, step: int) -> None:
    """Writes an evaluation on the way beside the checkpoints, for a process that goes on from one of them."""
    with writing(folder / f"pairs-{step}.parquet") as temporary:
        temporary.write_bytes(parquet_bytes(typed_frame(table, PAIR_COLUMNS, "pair"), PAIR_COLUMNS))


def kept_table(folder: Path, step: int) -> DataFrame:
    """What `keep_table` wrote after this step."""
    return read_parquet(folder / f"pairs-{step}.parquet", PAIR_COLUMNS, "pair")


def not_finite(rows: Sequence[Row], policy: Scores) -> list[str]:
    """The ids of rows with a log-prob that is NaN or infinite: the last updates have spoilt the weights."""
    return [
        row.id
        for row, completions in zip(rows, policy, strict=True)
        if not all(tokens.isfinite().all() for tokens in completions)
    ]


@functools.cache
def edit_similarity(chosen: tuple[int, ...], rejected: tuple[int, ...]) -> float:
    """1 - Levenshtein distance of the token ids / tokens of the longer completion, so 1 for equal ones, 0 for disjoint
    ones.

    Kept, because every cell of a run measures the same rows.
    """
    return Levenshtein.normalized_similarity(chosen, rejected)


def _sides(row: Row) -> tuple[tuple[str, int | None], tuple[str, int | None]]:
    """Which completion of the row stands on which side."""
    if row.desirable is None:
        return ("chosen", 0), ("rejected", 1)
    return ("chosen", 0 if row.desirable else None), ("rejected", None if row.desirable else 0)
