"""The accuracies: which share of pairs is ranked right, by one metric for all losses and by others.

Letters as in `pair_table.py`. Exact ties count one half everywhere, so a policy equal to its reference
scores 0.5.
"""

from results.metrics import statistics
from results.metrics.pair_table import METRICS, PairArrays, metric, rewards, wins
from results.metrics.statistics import MISSING, Estimate


def _accuracy(table: PairArrays, reward: str) -> Estimate:
    """Share of pairs whose chosen completion has the higher reward."""
    pairs = table.paired()
    return statistics.mean(wins(rewards(pairs, reward)), pairs.clusters)


def _gain(table: PairArrays, reward: str) -> Estimate:
    """Accuracy minus accuracy at the start, paired: the error is that of the per-pair difference."""
    pairs = table.paired()
    gained = wins(rewards(pairs, reward)) - wins(rewards(pairs.at_start(), reward))
    return statistics.mean(gained, pairs.clusters)


@metric
def preference_accuracy(pairs: PairArrays) -> Estimate:
    """Mean of 1[h > 0] + 1/2 1[h = 0]: over summed log-ratios, the same for every loss.

    Source: the implicit reward of arXiv:2305.18290, sec. 4. Reference-free losses are measured with it too,
    against their starting weights.
    """
    return _accuracy(pairs, "log_ratio")


@metric
def preference_accuracy_at_start(pairs: PairArrays) -> Estimate:
    """preference_accuracy with the reference in the policy's place: one half, since every margin is 0."""
    return Estimate(_accuracy(pairs.at_start(), "log_ratio").value)


@metric
def mean_ratio_accuracy(pairs: PairArrays) -> Estimate:
    """Length-normalized accuracy: share of pairs with a/nc > d/nr, ties one half."""
    return _accuracy(pairs, "mean_log_ratio")


@metric
def mean_ratio_accuracy_at_start(pairs: PairArrays) -> Estimate:
    """mean_ratio_accuracy with the reference in the policy's place: one half."""
    return Estimate(_accuracy(pairs.at_start(), "mean_log_ratio").value)


@metric
def reward_accuracy(pairs: PairArrays, reward: str | None) -> Estimate:
    """Accuracy under the loss's own declared reward; missing for a baseline without one (None).

    Conventions: this is what the public trainers log as "rewards/accuracies", each with another reward:
    TRL's IPO logs summed log-ratios though it trains on means, its SimPO, CPO and ORPO log log-probs
    without a reference.
    """
    return MISSING if reward is None else _accuracy(pairs, reward)


@metric
def reward_accuracy_at_start(pairs: PairArrays, reward: str | None) -> Estimate:
    """reward_accuracy with the reference in the policy's place; 0.5 only for the log-ratio rewards."""
    return MISSING if reward is None else _accuracy(pairs.at_start(), reward)


@metric
def reward_accuracy_gain(pairs: PairArrays, reward: str | None) -> Estimate:
    """reward_accuracy minus its value at the start: what training added under the loss's own reward."""
    return MISSING if reward is None else _gain(pairs, reward)


@metric
def likelihood_accuracy(pairs: PairArrays) -> Estimate:
    """Share of pairs with c > r, ties one half: does the model itself find the chosen completion likelier."""
    return _accuracy(pairs, "log_prob")


@metric
def likelihood_accuracy_at_start(pairs: PairArrays) -> Estimate:
    """likelihood_accuracy of the reference."""
    return _accuracy(pairs.at_start(), "log_prob")


@metric
def likelihood_accuracy_gain(pairs: PairArrays) -> Estimate:
    """likelihood_accuracy minus its value at the start."""
    return _gain(pairs, "log_prob")


@metric
def mean_likelihood_accuracy(pairs: PairArrays) -> Estimate:
    """Share of pairs with c/nc > r/nr, ties one half: the model's own ranking per token."""
    return _accuracy(pairs, "mean_log_prob")


@metric
def mean_likelihood_accuracy_at_start(pairs: PairArrays) -> Estimate:
    """mean_likelihood_accuracy of the reference; well above one half on much preference data."""
    return _accuracy(pairs.at_start(), "mean_log_prob")


@metric
def mean_likelihood_accuracy_gain(pairs: PairArrays) -> Estimate:
    """mean_likelihood_accuracy minus its value at the start."""
    return _gain(pairs, "mean_log_prob")


__all__ = [name for name, estimator in METRICS.items() if estimator.__module__ == __name__]
