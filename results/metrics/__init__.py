"""The metrics: one function per column, from a table to a number.

`results.metrics.preference_accuracy(pairs)` and its siblings take anybody's pair table; `measure` computes all of them.
"""

from results.metrics.measure import *  # noqa: F403  (its __all__ is the list of metrics)
from results.metrics.measure import __all__ as _METRICS
from results.metrics.pair_table import PairArrays, checked, metric, rewards
from results.metrics.statistics import MISSING, Estimate

__all__ = [*_METRICS, "MISSING", "Estimate", "PairArrays", "checked", "metric", "rewards"]
