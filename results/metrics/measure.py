"""The metrics: one function per column, from a pair table to a number; `measure` computes all of them.

Every function takes a DataFrame with the pair columns of `results/schema/row.py` (cluster_id, split and step may be
absent; a missing split means test) and returns NaN where it has nothing to measure. Rows without one of the
two completions (unpaired data) are used by the changes in log-prob of the side that they have and by no metric of
pairs. The accuracies are in `accuracies.py`, changes in log-prob in `drift.py` and the metrics of length in
`lengths.py`; all are reachable from here.

Letters: c, r = policy log-prob of the chosen and the rejected completion (nats, summed over scored tokens), c0,
r0 = the reference's, nc, nr = scored tokens, a = c - c0, d = r - r0, h = a - d.

Conventions: exact ties count one half in every accuracy (TRL and others count them as wrong, so an
untrained model scores 0 there and 0.5 here). Accuracies are means over pairs, not of batch means. Margins
are log-ratios without beta, because the scales of beta differ between losses.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from results.metrics import statistics
from results.metrics.accuracies import (
    likelihood_accuracy,
    likelihood_accuracy_at_start,
    likelihood_accuracy_gain,
    mean_likelihood_accuracy,
    mean_likelihood_accuracy_at_start,
    mean_likelihood_accuracy_gain,
    mean_ratio_accuracy,
    mean_ratio_accuracy_at_start,
    preference_accuracy,
    preference_accuracy_at_start,
    reward_accuracy,
    reward_accuracy_at_start,
    reward_accuracy_gain,
)
from results.metrics.drift import (
    chosen_logp_drift,
    chosen_logp_drift_first,
    chosen_logp_drift_per_token,
    chosen_logp_drift_rest,
    displaced_fraction,
    displacement_ches,
    displacement_similarity,
    rejected_logp_drift,
    rejected_logp_drift_first,
    rejected_logp_drift_per_token,
    rejected_logp_drift_rest,
)
from results.metrics.lengths import (
    accuracy_chosen_longer,
    accuracy_chosen_shorter,
    accuracy_length_balanced,
    length_bias,
    length_bias_length_part,
    length_bias_preference_part,
    length_slope,
    length_spearman,
    longer_wins_baseline,
    margin_length_part,
    margin_preference_part,
    reward_length_bias,
    reward_length_correlation,
)
from results.metrics.pair_table import METRICS, REWARDS, PairArrays, checked, metric, rewards
from results.metrics.statistics import MISSING, Clusters, Estimate
from results.schema.row import PAIR_METRIC_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COUNTS",
    "METRICS",
    "REWARDS",
    "accuracy_chosen_longer",
    "accuracy_chosen_shorter",
    "accuracy_length_balanced",
    "chosen_logp_drift",
    "chosen_logp_drift_first",
    "chosen_logp_drift_per_token",
    "chosen_logp_drift_rest",
    "clipped_fraction",
    "displaced_fraction",
    "displacement_ches",
    "displacement_similarity",
    "effective_beta",
    "estimate",
    "length_bias",
    "length_bias_length_part",
    "length_bias_preference_part",
    "length_slope",
    "length_spearman",
    "likelihood_accuracy",
    "likelihood_accuracy_at_start",
    "likelihood_accuracy_gain",
    "longer_wins_baseline",
    "margin",
    "margin_length_part",
    "margin_preference_part",
    "margin_std",
    "mean_likelihood_accuracy",
    "mean_likelihood_accuracy_at_start",
    "mean_likelihood_accuracy_gain",
    "mean_ratio_accuracy",
    "mean_ratio_accuracy_at_start",
    "measure",
    "n",
    "n_clusters",
    "pairs_chosen_longer",
    "pairs_chosen_shorter",
    "preference_accuracy",
    "preference_accuracy_at_start",
    "rejected_logp_drift",
    "rejected_logp_drift_first",
    "rejected_logp_drift_per_token",
    "rejected_logp_drift_rest",
    "reward_accuracy",
    "reward_accuracy_at_start",
    "reward_accuracy_gain",
    "reward_length_bias",
    "reward_length_correlation",
    "undecided_fraction",
]


@metric
def margin(pairs: PairArrays) -> Estimate:
    """Mean of h in nats, without beta."""
    table = pairs.paired()
    return statistics.mean(table.h, table.clusters)


@metric
def margin_std(pairs: PairArrays) -> Estimate:
    """Standard deviation of h over pairs in nats, divisor N - 1."""
    return Estimate(statistics.standard_deviation(pairs.paired().h))


@metric
def effective_beta(pairs: PairArrays, beta: float | None, reward: str | None = None) -> Estimate:
    """How much beta mattered: beta * sd(h), the spread of the argument of the loss's sigmoid.

    For reward "mean_log_ratio" (ipo) it is 2 beta * mean(a/nc - d/nr), the share of the regression target
    1/(2 beta) that was reached. Missing without beta. Below 0.3 all values of beta train alike.
    """
    if beta is None:
        return MISSING
    table = pairs.paired()
    if reward == "mean_log_ratio":
        sides = rewards(table, reward)
        return Estimate(2 * beta * statistics.mean(sides.chosen - sides.rejected, None).value)
    return Estimate(beta * statistics.standard_deviation(table.h))


@metric
def undecided_fraction(pairs: PairArrays, noise_floor: float) -> Estimate:
    """Share of pairs with |h| up to the noise floor (nats) of the measuring pass."""
    table = pairs.paired()
    return statistics.mean((np.abs(table.h) <= noise_floor).astype(float), table.clusters)


def n(pairs: "pd.DataFrame | PairArrays") -> int:
    """Pairs with both completions."""
    return len(checked(pairs).paired().nc)


def n_clusters(pairs: "pd.DataFrame | PairArrays") -> int:
    """Distinct clusters among the pairs with both completions. Raises: ValueError without cluster_id."""
    return len(np.unique(_clusters(checked(pairs).paired())))


def pairs_chosen_longer(pairs: "pd.DataFrame | PairArrays") -> int:
    """Pairs whose chosen completion has more scored tokens: the count behind accuracy_chosen_longer."""
    table = checked(pairs).paired()
    return int(np.sum(table.nc > table.nr))


def pairs_chosen_shorter(pairs: "pd.DataFrame | PairArrays") -> int:
    """Pairs whose chosen completion has fewer scored tokens: the count behind accuracy_chosen_shorter."""
    table = checked(pairs).paired()
    return int(np.sum(table.nc < table.nr))


COUNTS: dict[str, Callable[["pd.DataFrame | PairArrays"], int]] = {
    function.__name__: function for function in (pairs_chosen_longer, pairs_chosen_shorter, n, n_clusters)
}
"""The columns that are counts of rows, by name."""


def clipped_fraction(curve: "pd.DataFrame") -> float:
    """Share of steps whose gradient was clipped, from a curve table; NaN without a step."""
    return float(curve["clipped"].astype("float64").mean())


def estimate(
    name: str,
    pairs: "pd.DataFrame | PairArrays",
    *,
    reward: str | None = None,
    beta: float | None = None,
    noise_floor: float = 0.0,
) -> Estimate:
    """Value and standard error of the metric column `name`.

    `reward`, `beta` and `noise_floor` (nats) reach only the metrics that have such a parameter.
    Raises: ValueError for an unknown name or a bad table.
    """
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}. Known: {', '.join(METRICS)}.")
    given = {"reward": reward, "beta": beta, "noise_floor": noise_floor}
    wanted = inspect.signature(METRICS[name]).parameters
    return METRICS[name](checked(pairs), **{key: value for key, value in given.items() if key in wanted})


def measure(
    pairs: "pd.DataFrame", *, reward: str | None, beta: float | None, noise_floor: float
) -> dict[str, float | int]:
    """Every column of PAIR_METRIC_COLUMNS for the rows of one cell, split and step.

    `reward` and `beta` are the loss's own, None where it has none; `noise_floor` in nats.
    Raises: ValueError for a bad table, or one without cluster_id (standard errors need it).
    """
    table = checked(pairs)
    _clusters(table)
    values: dict[str, float | int] = {name: count(table) for name, count in COUNTS.items()}
    for name in METRICS:
        result = estimate(name, table, reward=reward, beta=beta, noise_floor=noise_floor)
        values[name], values[f"{name}_se"] = result.value, result.se
    return {column.name: values[column.name] for column in PAIR_METRIC_COLUMNS}


def _clusters(table: PairArrays) -> Clusters:
    """The clusters [N] of a table. Raises: ValueError where it names none."""
    if table.clusters is None:
        raise ValueError(
            "The pair table lacks cluster_id, which standard errors need; "
            "set it to pair_id where the rows are independent."
        )
    return table.clusters
