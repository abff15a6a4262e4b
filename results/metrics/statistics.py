"""Means, contrasts and slopes with standard errors that respect clusters.

Rows that share their first human turn are not independent, so a standard error is computed from the sums of
the rows' influences within clusters (Liang and Zeger 1986). Verdicts between losses are not here: their
unit is the training run, not the row.

Conventions: finite-sample factor G/(G-1) * (N-1)/(N-K) for G clusters, N rows and K estimated coefficients,
as Stata and statsmodels (cov_type="cluster") use; with singleton clusters the mean has its textbook error
sd/sqrt(N). Fewer than two clusters: the error is NaN, not 0.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Clusters = NDArray[np.int64]


class Estimate(NamedTuple):
    """A value and its standard error, NaN where there is none."""

    value: float
    se: float = math.nan


MISSING = Estimate(math.nan)


class Interval(NamedTuple):
    """Ends of a confidence interval, NaN where there is none."""

    low: float
    high: float


def interval(found: Estimate, degrees: float = math.inf, level: float = 0.95) -> Interval:
    """Student's interval around an estimate with `degrees` of freedom; the normal one by default."""
    from scipy.stats import t

    if math.isnan(found.se) or degrees < 1:
        return Interval(math.nan, math.nan)
    reach = float(t.ppf((1 + level) / 2, degrees)) * found.se
    return Interval(found.value - reach, found.value + reach)


def clustered_se(influence: Floats, clusters: Clusters | None, coefficients: int) -> float:
    """Standard error of an estimate from the influence [N] of each row on it.

    `clusters` [N] are integer codes, None where the table names no clusters (then there is no error to
    state).
    """
    if clusters is None:
        return math.nan
    _, codes = np.unique(clusters, return_inverse=True)
    rows, groups = len(influence), int(codes.max(initial=-1)) + 1
    if groups < 2 or rows <= coefficients:
        return math.nan
    sums = np.bincount(codes, weights=influence)
    factor = groups / (groups - 1) * (rows - 1) / (rows - coefficients)
    return math.sqrt(factor * float(np.sum(sums**2)))


def cluster_codes(names: "pd.Series[Any]") -> Clusters:
    """Integer codes [N] of the clusters that a column names: equal names, equal codes."""
    return np.unique(names.astype("str").to_numpy(dtype=object), return_inverse=True)[1]


def mean(values: Floats, clusters: Clusters | None) -> Estimate:
    """Mean of values [N]; missing where there are none."""
    if len(values) == 0:
        return MISSING
    centre = float(values.mean())
    return Estimate(centre, clustered_se((values - centre) / len(values), clusters, coefficients=1))


def contrast(
    values: Floats,
    groups: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    weights: tuple[float, float],
    clusters: Clusters | None,
) -> Estimate:
    """weights[0] * mean of the first group + weights[1] * mean of the second; missing where a group is empty.

    Weights (1, -1) give the difference of two means, (0.5, 0.5) their balanced mean. A cluster with rows in
    both groups counts once, so their covariance is in the error. A group within one cluster has no error of its own,
    so then there is none of the contrast.
    """
    if not all(group.any() for group in groups):
        return MISSING
    value, influence = 0.0, np.zeros(len(values))
    for group, weight in zip(groups, weights, strict=True):
        centre = float(values[group].mean())
        value += weight * centre
        influence[group] = weight * (values[group] - centre) / group.sum()
    if clusters is None or any(is_constant(clusters[group]) for group in groups):
        return Estimate(value)
    used = groups[0] | groups[1]
    return Estimate(value, clustered_se(influence[used], clusters[used], coefficients=2))


def slope(x: Floats, y: Floats, clusters: Clusters | None) -> Estimate:
    """Least-squares slope of y [N] on x [N], with intercept; missing where x does not vary."""
    if is_constant(x):
        return MISSING
    centred = x - x.mean()
    spread = float(centred @ centred)
    value = float(centred @ y) / spread
    residual = y - y.mean() - value * centred
    return Estimate(value, clustered_se(centred * residual / spread, clusters, coefficients=2))


def correlation(x: Floats, y: Floats) -> float:
    """Pearson correlation of x [N] and y [N]; NaN where one of them does not vary."""
    if is_constant(x) or is_constant(y):
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y) / math.sqrt(float(x @ x) * float(y @ y))


def rank_correlation(x: Floats, y: Floats) -> float:
    """Spearman correlation: Pearson's on average ranks; NaN where x or y does not vary."""
    from scipy.stats import rankdata

    return correlation(rankdata(x), rankdata(y))


def standard_deviation(values: Floats) -> float:
    """Sample standard deviation (divisor N - 1, as pandas); NaN below two values."""
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def is_constant(values: Floats | Clusters) -> bool:
    """True where the values do not vary, or there are none."""
    return len(values) == 0 or bool(np.all(values == values[0]))
