"""Counts of wins: exact intervals and tests of proportions.

For published counts, where the verdicts on single prompts are not known and clusters cannot be respected.
"""

from typing import NamedTuple


class Limits(NamedTuple):
    """An interval of a proportion."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval's width, the `±` of papers that print a symmetric one."""
        return (self.high - self.low) / 2


def clopper_pearson(wins: int, total: int, level: float) -> Limits:
    """The exact binomial interval of `wins` out of `total` at a confidence level between 0 and 1.

    Source: Clopper and Pearson 1934, Biometrika 26. Raises: ValueError for counts or a level that are none.
    """
    from scipy import stats

    _require_counts(wins, total)
    found = stats.binomtest(wins, total).proportion_ci(level, method="exact")
    return Limits(float(found.low), float(found.high))


def fisher_exact(wins: int, total: int, other_wins: int, other_total: int) -> float:
    """Two-sided p value of equal proportions by Fisher's exact test. Raises: ValueError for counts that are none."""
    import numpy as np
    from scipy import stats

    _require_counts(wins, total)
    _require_counts(other_wins, other_total)
    table = np.array([[wins, total - wins], [other_wins, other_total - other_wins]])
    return float(stats.fisher_exact(table).pvalue)


def _require_counts(wins: int, total: int) -> None:
    if not 0 <= wins <= total or total < 1:
        raise ValueError(f"{wins} wins of {total} are no counts; allowed: 0 <= wins <= total, total >= 1.")
