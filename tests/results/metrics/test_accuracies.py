"""Accuracies of each kind, by hand from the four pairs of conftest.py."""

import math

import numpy as np
import pytest

from results import metrics


@pytest.mark.parametrize(
    ("reward", "now", "start", "length_bias"),
    [
        ("log_ratio", 0.625, 0.5, -0.5),
        ("mean_log_ratio", 0.625, 0.5, -0.5),
        ("log_prob", 0.375, 0.5, 0 - 1),
        ("mean_log_prob", 0.75, 0.875, (1 + 0.5) / 2 - 1),
        ("log_odds", 0.75, 0.875, (1 + 0.5) / 2 - 1),  # the odds rise with the mean log-prob
    ],
)
def test_accuracy_under_the_own_reward_by_hand(reward, now, start, length_bias, four_pairs):
    assert metrics.reward_accuracy(four_pairs, reward) == pytest.approx(now)
    assert metrics.reward_accuracy_at_start(four_pairs, reward) == pytest.approx(start)
    assert metrics.reward_accuracy_gain(four_pairs, reward) == pytest.approx(now - start)
    assert metrics.reward_length_bias(four_pairs, reward) == pytest.approx(length_bias)


def test_log_odds_is_exact_where_the_naive_form_is_not(pair_table):
    # Means of -1e-9 and -2e-9: exp rounds to 1 in fp32; means of -800 and -900: exp(-mean) overflows.
    close = pair_table([(-1e-9, -2e-9, -1, -1, 1, 1), (-800, -900, -1, -1, 1, 1), (0, -1e-9, -1, -1, 1, 1)])
    assert metrics.reward_accuracy(close, "log_odds") == 1
    both_certain = pair_table([(0, 0, -1, -1, 1, 1)])
    assert metrics.reward_accuracy(both_certain, "log_odds") == 0.5


def test_standard_error_of_accuracy_by_hand(four_pairs, pair_table):
    # Scores 1, 1, 0, 1/2 around 5/8: squared deviations sum to 0.6875; in two clusters of two: sums 0.75, -0.75.
    alone = metrics.estimate("preference_accuracy", four_pairs)
    assert alone.se == pytest.approx(math.sqrt(0.6875 / 3 / 4))
    in_twos = four_pairs.assign(cluster_id=["x", "x", "y", "y"])
    assert metrics.estimate("preference_accuracy", in_twos).se == pytest.approx(math.sqrt(2 * 2 * 0.75**2 / 16))


def test_the_error_of_a_gain_is_that_of_the_paired_difference(four_pairs):
    # Differences 0, 0, -1/2, 0: the pairs that did not change carry no noise of their own.
    found = metrics.estimate("likelihood_accuracy_gain", four_pairs)
    assert found.se == pytest.approx(np.std([0, 0, -0.5, 0], ddof=1) / 2)


def test_every_accuracy_has_a_start_and_those_of_the_reference_are_ties(four_pairs):
    for name in ("preference_accuracy", "mean_ratio_accuracy"):
        assert getattr(metrics, f"{name}_at_start")(four_pairs) == 0.5
    assert metrics.likelihood_accuracy_at_start(four_pairs) == (1 + 0 + 0.5 + 0.5) / 4
    assert metrics.mean_likelihood_accuracy_at_start(four_pairs) == (1 + 1 + 1 + 0.5) / 4


def test_a_gain_is_the_accuracy_less_that_at_the_start(four_pairs):
    for name in ("likelihood_accuracy", "mean_likelihood_accuracy"):
        now, start = getattr(metrics, name)(four_pairs), getattr(metrics, f"{name}_at_start")(four_pairs)
        assert getattr(metrics, f"{name}_gain")(four_pairs) == pytest.approx(now - start)


def test_a_control_without_a_reward_has_no_accuracy_of_its_own(four_pairs):
    for name in ("reward_accuracy", "reward_accuracy_at_start", "reward_accuracy_gain"):
        assert math.isnan(getattr(metrics, name)(four_pairs, None))
