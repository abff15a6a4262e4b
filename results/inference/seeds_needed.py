"""How many seeds a finding will need, from the spread that earlier cells show.

results.seeds_needed("runs", "preference_accuracy", 0.03)     # seeds of each side, None where no number is enough
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from results.cells.frames import by_cell
from results.cells.read import pairs, read
from results.inference.compare import Side, sides
from results.inference.test import POWER, Spread, row_variance, seeds_for
from results.metrics.measure import METRICS

if TYPE_CHECKING:
    import pandas as pd


def seeds_needed(path: Path | str, metric: str, difference: float, power: float = POWER) -> int | None:
    """Seeds of each side that find a difference of this size with this power, by the spread of the cells at `path`.

    Raises: ValueError for an unknown metric, or where no two settings have two seeds each; FileNotFoundError.
    """
    found = spread(path, metric)
    if found is None:
        raise ValueError(
            f"{str(path)!r} holds no protocol with two settings of two seeds each, so nothing is known of "
            "the spread; run two losses with seeds=0,1,2."
        )
    return seeds_for(found, difference, power)


def spread(path: Path | str, metric: str = "preference_accuracy", protocol: str | None = None) -> Spread | None:
    """The spread over seeds (pooled over settings) and rows (mean over pairs of settings), from the protocol named or
    else the one with most runs; None where it has no two settings of two seeds each.

    Raises: ValueError for an unknown metric; FileNotFoundError without runs.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}. Metrics of the test rows: {', '.join(METRICS)}.")
    runs = read(path)
    control = runs["control"].fillna(False).astype(bool)
    done = runs[(runs["status"] == "done") & ~control]
    done = done[done["seed"].notna()].assign(role="")
    groups = {name: rows for name, rows in done.groupby("protocol") if protocol in (None, name)}
    for name in sorted(groups, key=lambda name: -len(groups[name])):
        tables = by_cell(pairs(path))
        of = [side for side in sides(_repeated(groups[name]), tables, metric) if len(side.values) > 1]
        if len(of) > 1:
            return _pooled(of)
    return None


def _repeated(runs: "pd.DataFrame") -> "pd.DataFrame":
    """The cells of settings that were run on several seeds: others cost time and say nothing here."""
    return runs[runs.groupby(["loss", "hyperparameters", "lr"], dropna=False)["seed"].transform("nunique") > 1]


def _pooled(of: Sequence[Side]) -> Spread:
    free = sum(len(side.values) - 1 for side in of)
    seeds = sum(float(side.values.var(ddof=1)) * (len(side.values) - 1) for side in of) / free
    alike = [(a, b) for a, b in combinations(of, 2) if a.rows == b.rows]
    rows = float(np.mean([row_variance(a.pseudo, b.pseudo) for a, b in alike])) if alike else 0.0
    return Spread(seeds, rows, len(of), sum(len(side.values) for side in of))
