"""What tuning a loss is worth: the expected best of n settings that a search tried, as a curve over n.

    results.tuning.best_of_n("runs")      # one row a loss and n

A loss that needs many trials to shine and one that is good at once differ in this curve and not in their best cells.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from results.cells.frames import rows_frame
from results.cells.read import search
from results.cells.searches import METRIC, SEARCH, needed_record
from results.metrics.statistics import Floats
from results.schema.tables import TUNING_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

AT_START = 0.5
"""What a failed trial leaves: the untrained model, whose accuracy under its own reference is one half."""


class Curve(NamedTuple):
    """E[best of n] for n = 1 to the number of trials, and a band that holds the whole curve; arrays [N]."""

    expected: Floats
    low: Floats
    high: Floats


def best_of_n(path: Path | str, name: str | None = None) -> "pd.DataFrame":
    """The curve of every loss of a search (the last one, or that of the id `name`), in the columns of TUNING_COLUMNS.

    The value is the validation accuracy by which settings are selected; a failed trial counts as the untrained model.
    Of successive halving (`search=racing`), the first round: its later ones hold selected settings alone. A band is
    given for random search, whose settings are draws from the loss's space; quasi-random draws scatter less than
    independent ones, so it is on the wide side. Raises: as results.search.
    """
    frame, found = search(path, name), needed_record(path, name)
    tried = frame[(frame["stage"] == SEARCH) & (frame["rung"] == 0) & frame["status"].isin(["done", "failed"])]
    lines: list[dict[str, Any]] = []
    for loss, rows in tried.groupby("loss", sort=False):
        values = rows[METRIC].fillna(AT_START).to_numpy(dtype=float)
        curve = expected_best(values)
        shared = {
            "search": found["search"],
            "protocol": found["protocol"],
            "loss": loss,
            "trials": len(rows),
            "failed": int((rows["status"] == "failed").sum()),
            "train_pairs": int(rows["train_pairs"].max()),
        }
        for place in range(len(values)):
            band = {"low": curve.low[place], "high": curve.high[place]} if found["method"] == "random" else {}
            lines.append({**shared, "n": place + 1, "expected": curve.expected[place], **band})
    return rows_frame(lines, TUNING_COLUMNS)


def expected_best(values: Floats, level: float = 0.95, ends: tuple[float, float] = (0.0, 1.0)) -> Curve:
    """The curve of the trials' values [K], which lie between `ends`.

    expected is exact for n drawn without replacement from the K trials, hence unbiased: sum over the sorted values of
    x_(i) C(i - 1, n - 1) / C(K, n) (arXiv:2004.13705). The band: the distribution function lies within +-e of the
    empirical one everywhere, e the exact quantile of Kolmogorov's statistic, and the mean of the largest of n draws is
    b - the integral of F^n from a to b (arXiv:2311.09480), which falls with F.
    """
    from scipy.special import comb
    from scipy.stats import kstwo

    ordered, trials = np.sort(values), len(values)
    rank, counts = np.arange(trials), np.arange(1, trials + 1)
    expected = np.array([(ordered * comb(rank, n - 1)).sum() / comb(trials, n) for n in counts])
    steps = np.diff([ends[0], *ordered, ends[1]])  # F is constant on each
    shares = np.arange(trials + 1) / trials
    reach = float(kstwo.ppf(level, trials)) if trials else math.nan

    def mean_of_best(shift: float) -> Floats:
        return ends[1] - np.clip(shares + shift, 0, 1)[None, :] ** counts[:, None] @ steps

    return Curve(expected, mean_of_best(reach), mean_of_best(-reach))
