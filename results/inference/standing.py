"""Where each setting stands on one metric: its value with an interval over runs and rows, and who is best.

    results.standing.standing(rows, tables, "preference_accuracy")

Best is the setting with the best mean; every setting that the corrected test of `compare.py` cannot distinguish from it
is `tied` with it. That is how a table should be read aloud: not one winner, but those that may be the best.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from results.cells.searches import DEFAULT
from results.inference.compare import Side, compared, sides
from results.inference.test import CLAIM_SEEDS, LEVEL, mean_over_runs
from results.metrics.statistics import Estimate, interval
from results.schema.row import METRIC_COLUMNS

if TYPE_CHECKING:
    import pandas as pd


class Place(NamedTuple):
    """One setting: its cells, seeds, mean, error over runs and rows, 95 % interval, and whether it may be the best."""

    label: str
    loss: str
    cells: tuple[str, ...]
    seeds: int
    value: float
    se: float
    low: float
    high: float
    tied: bool


class Standing(NamedTuple):
    """The settings of one table, the best first, and every declared comparison (columns of COMPARISON_COLUMNS but the
    protocol). `best` is None where the metric has no good direction. `defaults` are those of a confirmation, which are
    compared with their own loss's winner alone and have no place among the winners."""

    metric: str
    places: tuple[Place, ...]
    comparisons: tuple[Mapping[str, Any], ...]
    best: Place | None
    defaults: tuple[Place, ...] = ()


def standing(
    runs: "pd.DataFrame", tables: "Mapping[str, pd.DataFrame]", metric: str = "preference_accuracy"
) -> Standing:
    """The standing of the finished cells of one protocol that may be ranked together; left out are settings with fewer
    than three seeds, without a value, or with a single cluster of rows. `tables` are pair tables of test rows by cell.

    The error of a mean is that of `test.mean_over_runs`.
    Raises: ValueError where seeds of a setting cannot be distinguished, or cells were measured on different rows.
    """
    direction = next(column.better for column in METRIC_COLUMNS if column.name == metric)
    known = [side for side in sides(runs, tables, metric) if _is_testable(side)]
    if len({side.rows for side in known}) > 1:
        raise ValueError("The settings were measured on different test rows, so they have no common standing.")
    defaults = [side for side in known if side.role == DEFAULT]
    ordered = sorted(
        (side for side in known if side.role != DEFAULT),
        key=lambda side: (-1 if direction == "up" else 1) * side.values.mean(),
    )
    comparisons = compared([*ordered, *defaults], metric, confirming=True)
    best = ordered[0].label if ordered and direction != "none" else None
    apart = {line["b"] for line in comparisons if line["a"] == best and line["p_holm"] < LEVEL}
    places = tuple(_place(side, best is not None and side.label not in apart) for side in ordered)
    untied = tuple(_place(side, False) for side in defaults)
    return Standing(metric, places, tuple(comparisons), places[0] if best is not None else None, untied)


def _is_testable(side: Side) -> bool:
    seeds, clusters = side.pseudo.shape
    return seeds >= CLAIM_SEEDS and clusters > 1 and not np.isnan(side.values).any()


def _place(side: Side, tied: bool) -> Place:
    found = mean_over_runs(side.values, side.pseudo)
    ends = interval(Estimate(found.value, found.se), found.degrees)
    return Place(side.label, side.loss, side.cells, len(side.values), found.value, found.se, ends.low, ends.high, tied)
