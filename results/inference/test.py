"""The test of two losses from runs and rows, its correction for several, and how many seeds a difference needs.

Both the runs and the held-out rows are samples. A test over rows alone takes a lucky seed for a better loss, and a test
over seeds alone takes rows that suit one loss for a better loss. Letters: A, B = settings, S = seeds, N = clusters of
rows, m = the metric. What is compared with what is in `compare.py`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from results.metrics.statistics import Floats

LEVEL = 0.05
POWER = 0.8
CLAIM_SEEDS = 3
"""Fewest seeds of each side from which anything is said about losses instead of runs."""

MOST_SEEDS = 200
"""Beyond this many seeds a difference counts as out of reach."""


class Difference(NamedTuple):
    """A minus B: value, its error over runs and rows, the error over rows alone, degrees of freedom, two-sided p.

    Numbers, or arrays of several tests.
    """

    value: Floats
    se: Floats
    se_rows: Floats
    degrees: Floats
    p: Floats


def difference(a: Floats, b: Floats, rows_a: Floats, rows_b: Floats) -> Difference:
    """The test of A against B from m of each run, a [S_A] and b [S_B], and of each row, rows_a [S_A, N], rows_b.

    SE^2 = V_rows + max(0, V_a + V_b - V_both) with V_a = var(a)/S_A, V_b = var(b)/S_B, V_rows = var(mean over seeds of
    rows_a - that of rows_b)/N, and V_both the part that a single run makes of a single row, which is in V_a + V_b and
    in V_rows: of each side the residual variance of its table [S, N] over S N. This is the variance clustered both ways
    (Cameron, Gelbach and Miller, JBES 29, 2011, eq. 2.9). Student's t, degrees of freedom after Satterthwaite
    (Biometrics Bulletin 2, 1946) from V_a, V_b and V_rows, at least those of the smallest sample (seeds or rows). Error
    rates, power and coverage: `python -m benchmarks.error_rates`.

    Rows are the columns, the same in both; where they come in clusters, or m is no mean over rows, they are jackknife
    pseudo-values of clusters. With fewer than two seeds on a side there is no error over runs, hence neither se nor p.
    Where nothing scatters, p is that of all rows agreeing by chance: 2 to the power of 1 - N.
    Further axes in front are separate tests.
    """
    from scipy.stats import t

    gap = rows_a.mean(axis=-2) - rows_b.mean(axis=-2)
    clusters, value = gap.shape[-1], a.mean(axis=-1) - b.mean(axis=-1)
    over_rows = gap.var(axis=-1, ddof=1) / clusters if clusters > 1 else np.full_like(value, math.nan)
    if min(a.shape[-1], b.shape[-1]) < 2:
        none = np.full_like(value, math.nan)
        return Difference(value, none, np.sqrt(over_rows), none, none)
    over_runs = [side.var(axis=-1, ddof=1) / side.shape[-1] for side in (a, b)]
    both = _both(rows_a, rows_b)
    variance = over_rows + np.maximum(over_runs[0] + over_runs[1] - both, 0)
    parts = [(over_rows, clusters), *zip(over_runs, (a.shape[-1], b.shape[-1]), strict=True)]
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = variance**2 / sum(part**2 / (count - 1) for part, count in parts)
        degrees = np.maximum(degrees, min(count for _, count in parts) - 1)  # V_both taken off could leave none
        alike = np.where(value == 0, 1.0, 2.0 ** (1 - clusters))
        p = np.where(variance == 0, alike, 2 * t.sf(abs(value) / np.sqrt(variance), degrees))[()]
    return Difference(value, np.sqrt(variance), np.sqrt(over_rows), degrees, p)


def row_variance(rows_a: Floats, rows_b: Floats) -> Floats:
    """The variance of a difference that is the rows' alone: V_rows - V_both of `difference`, not below 0."""
    gap = rows_a.mean(axis=-2) - rows_b.mean(axis=-2)
    alone: Floats = np.maximum(gap.var(axis=-1, ddof=1) / gap.shape[-1] - _both(rows_a, rows_b), 0)
    return alone


def _both(rows_a: Floats, rows_b: Floats) -> Floats:
    """What single runs make of single rows, in the variance of a difference."""
    a, b = (_residual(table) / (table.shape[-2] * table.shape[-1]) for table in (rows_a, rows_b))
    both: Floats = a + b
    return both


def _residual(table: Floats) -> Floats:
    """Variance of a table [..., S, N] after the means of its rows and of its columns."""
    left = table - table.mean(axis=-1, keepdims=True) - table.mean(axis=-2, keepdims=True)
    left += table.mean(axis=(-2, -1), keepdims=True)
    free = (table.shape[-2] - 1) * max(table.shape[-1] - 1, 1)
    variance: Floats = (left**2).sum(axis=(-2, -1)) / free
    return variance


class Mean(NamedTuple):
    """The mean over the runs of one setting, its error over runs and rows, and the degrees of freedom of that error."""

    value: float
    se: float
    degrees: float


def mean_over_runs(values: Floats, rows: Floats) -> Mean:
    """The mean of m over runs, values [S] (two at least), with rows [S, N] as in `difference`, and by its rule:
    SE^2 = V_rows + max(0, V_runs - V_both)."""
    seeds, clusters = rows.shape
    over_runs = float(values.var(ddof=1)) / seeds
    over_rows = float(rows.mean(axis=0).var(ddof=1)) / clusters if clusters > 1 else math.nan
    variance = over_rows + max(0.0, over_runs - float(_residual(rows)) / (seeds * clusters))
    parts = over_runs**2 / (seeds - 1) + over_rows**2 / max(clusters - 1, 1)
    degrees = max(variance**2 / parts, min(seeds, clusters) - 1) if parts > 0 else math.inf
    return Mean(float(values.mean()), math.sqrt(variance), degrees)


def holm(p: Sequence[float] | Floats) -> Floats:
    """p-values [K] corrected for K comparisons (Holm 1979), NaN left out and left NaN."""
    p = np.asarray(p, dtype=np.float64)
    corrected = np.full(len(p), math.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


class Spread(NamedTuple):
    """What an earlier sweep says about a metric: its variance over seeds, and the part of the variance of a difference
    that stays however many seeds are run, because it is that of the rows; `settings` and `runs` say from how much."""

    seeds: float
    rows: float
    settings: int
    runs: int


def seeds_for(spread: Spread, gap: float, power: float = POWER, level: float = LEVEL) -> int | None:
    """Seeds of each side, at least three, that find a difference `gap` with this power; None where none do.

    The test's own error with S seeds a side, 2 V_seeds / S + V_rows, by Student's t with 2 S - 2 degrees of freedom.
    """
    from scipy.stats import t

    for seeds in range(CLAIM_SEEDS, MOST_SEEDS + 1):
        se, degrees = math.sqrt(2 * spread.seeds / seeds + spread.rows), 2 * seeds - 2
        if (t.ppf(1 - level / 2, degrees) + t.ppf(power, degrees)) * se <= abs(gap):
            return seeds
    return None


def out_of_reach(spread: Spread, power: float = POWER, level: float = LEVEL) -> float:
    """The difference that no number of seeds finds with this power on these rows."""
    from scipy.stats import norm

    return float((norm.ppf(1 - level / 2) + norm.ppf(power)) * math.sqrt(spread.rows))
