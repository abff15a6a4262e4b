"""What completion length does to the metrics: accuracies by length, the margin's length part, correlations.

None of these says how verbose the policy is; that is read from generated completions. Letters as in
`pair_table.py`. Pairs with completions of equal length are neither "longer" nor "shorter" and enter no metric
that compares the two.
"""

import math
from typing import NamedTuple

import numpy as np

from results.metrics import statistics
from results.metrics.pair_table import METRICS, PairArrays, Sides, metric, rewards, wins
from results.metrics.statistics import MISSING, Estimate


def _by_length(table: PairArrays) -> tuple[np.ndarray, np.ndarray]:
    """Masks [N]: pairs whose chosen completion is longer, pairs whose chosen completion is shorter."""
    return table.nc > table.nr, table.nc < table.nr


def _length_contrast(table: PairArrays, sides: Sides, weights: tuple[float, float]) -> Estimate:
    """A weighted sum of the accuracy where the chosen completion is longer and where it is shorter."""
    return statistics.contrast(wins(sides), _by_length(table), weights, table.clusters)


@metric
def accuracy_chosen_longer(pairs: PairArrays) -> Estimate:
    """preference_accuracy on the pairs whose chosen completion has more scored tokens."""
    table = pairs.paired()
    table = table.where(_by_length(table)[0])
    return statistics.mean(wins(Sides(table.a, table.d)), table.clusters)


@metric
def accuracy_chosen_shorter(pairs: PairArrays) -> Estimate:
    """preference_accuracy on the pairs whose chosen completion has fewer scored tokens."""
    table = pairs.paired()
    table = table.where(_by_length(table)[1])
    return statistics.mean(wins(Sides(table.a, table.d)), table.clusters)


@metric
def accuracy_length_balanced(pairs: PairArrays) -> Estimate:
    """Mean of accuracy_chosen_longer and accuracy_chosen_shorter: both lengths weigh the same.

    Missing where one of the two has no pairs.
    """
    table = pairs.paired()
    return _length_contrast(table, Sides(table.a, table.d), (0.5, 0.5))


@metric
def length_bias(pairs: PairArrays) -> Estimate:
    """accuracy_chosen_longer - accuracy_chosen_shorter, both of summed log-ratios.

    An untrained model scores 0, an honest scorer of people who like length scores above 0, and a uniform
    change in log-prob per token moves it without any change of preference: read it beside margin_length_part.
    """
    table = pairs.paired()
    return _length_contrast(table, Sides(table.a, table.d), (1.0, -1.0))


@metric
def reward_length_bias(pairs: PairArrays, reward: str | None) -> Estimate:
    """length_bias under the loss's own reward; missing for a baseline without one (None)."""
    if reward is None:
        return MISSING
    table = pairs.paired()
    return _length_contrast(table, rewards(table, reward), (1.0, -1.0))


class _Parts(NamedTuple):
    """The two summands [N] of the margin, nats."""

    preference: np.ndarray
    length: np.ndarray


def _parts(table: PairArrays) -> _Parts:
    """h = a - d = nc (a/nc) - nr (d/nr), two products: difference times mean plus mean times difference."""
    chosen, rejected = table.a / table.nc, table.d / table.nr
    return _Parts((chosen - rejected) * (table.nc + table.nr) / 2, (chosen + rejected) * (table.nc - table.nr) / 2)


@metric
def margin_preference_part(pairs: PairArrays) -> Estimate:
    """Mean of (a/nc - d/nr)(nc + nr)/2 in nats: the part of the margin that the per-token ratios explain.

    With margin_length_part it sums to margin.
    """
    table = pairs.paired()
    return statistics.mean(_parts(table).preference, table.clusters)


@metric
def margin_length_part(pairs: PairArrays) -> Estimate:
    """Mean of (a/nc + d/nr)(nc - nr)/2 in nats: mean change in log-prob per token times the difference in length."""
    table = pairs.paired()
    return statistics.mean(_parts(table).length, table.clusters)


@metric
def length_bias_preference_part(pairs: PairArrays) -> Estimate:
    """length_bias of the preference part in the margin's place: what per-token ratios do with length.

    It equals the length_bias of length-normalized accuracy. The biases of the two parts do not sum to length_bias: each
    is of an accuracy, and a pair counts by the sign of its margin alone.
    """
    table = pairs.paired()
    part = _parts(table).preference
    return _length_contrast(table, Sides(part, np.zeros(len(part))), (1.0, -1.0))


@metric
def length_bias_length_part(pairs: PairArrays) -> Estimate:
    """length_bias of the length part in the margin's place: 1 where every token gained, -1 where all lost."""
    table = pairs.paired()
    part = _parts(table).length
    return _length_contrast(table, Sides(part, np.zeros(len(part))), (1.0, -1.0))


@metric
def length_spearman(pairs: PairArrays) -> Estimate:
    """Spearman correlation of the margin h with nc - nr; missing where one of them does not vary."""
    table = pairs.paired()
    return Estimate(statistics.rank_correlation(table.h, table.nc - table.nr))


@metric
def reward_length_correlation(pairs: PairArrays) -> Estimate:
    """Pearson correlation between log-ratio and length over all completions: (a, nc) and (d, nr) pooled.

    Rows with a single completion take part. Missing where policy and reference agree everywhere.
    """
    chosen, rejected = pairs.with_chosen(), pairs.with_rejected()
    ratios = np.concatenate([chosen.a, rejected.d])
    lengths = np.concatenate([chosen.nc, rejected.nr])
    return Estimate(statistics.correlation(ratios, lengths))


@metric
def length_slope(pairs: PairArrays) -> Estimate:
    """Least-squares slope of h on (nc - nr) / sd(nc - nr): nats of margin for one sd of length difference."""
    table = pairs.paired()
    difference = table.nc - table.nr
    spread = statistics.standard_deviation(difference)
    if math.isnan(spread) or spread == 0:
        return MISSING
    return statistics.slope(difference / spread, table.h, table.clusters)


@metric
def longer_wins_baseline(pairs: PairArrays) -> Estimate:
    """Accuracy of always preferring the longer completion, equal lengths one half: the number to beat."""
    table = pairs.paired()
    return statistics.mean(wins(Sides(table.nc, table.nr)), table.clusters)


__all__ = [name for name, estimator in METRICS.items() if estimator.__module__ == __name__]
