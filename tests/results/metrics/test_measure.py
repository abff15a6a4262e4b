"""Metrics against values derived by hand from the four pairs of conftest.py, and what must hold on any table.

The lengths of the four pairs: shorter, longer, longer, equal; nc - nr = -1, 6, 1, 0.
"""

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results import metrics
from results.schema import row

BY_HAND = {
    "preference_accuracy": (1 + 1 + 0 + 0.5) / 4,
    "preference_accuracy_at_start": 0.5,
    "mean_ratio_accuracy": (1 + 1 + 0 + 0.5) / 4,
    "mean_ratio_accuracy_at_start": 0.5,
    "likelihood_accuracy": (1 + 0 + 0 + 0.5) / 4,
    "likelihood_accuracy_at_start": (1 + 0 + 0.5 + 0.5) / 4,
    "likelihood_accuracy_gain": (0 + 0 - 0.5 + 0) / 4,
    "mean_likelihood_accuracy": (1 + 1 + 0.5 + 0.5) / 4,  # -2.5 > -4, -3 > -5, -2 = -2, -1 = -1
    "mean_likelihood_accuracy_at_start": (1 + 1 + 1 + 0.5) / 4,  # -3 > -3.6, -3.1 > -5, -1.5 > -2, -1 = -1
    "mean_likelihood_accuracy_gain": -0.5 / 4,
    "margin": (4 + 1 - 2 + 0) / 4,
    "margin_std": 2.5,  # sqrt((3.25^2 + .25^2 + 2.75^2 + .75^2) / 3)
    "chosen_logp_drift": (2 + 1 - 2 + 0) / 4,
    "rejected_logp_drift": -2 / 4,
    "chosen_logp_drift_per_token": (0.5 + 0.1 - 0.5 + 0) / 4,
    "rejected_logp_drift_per_token": -0.4 / 4,
    "displaced_fraction": 1 / 4,
    "n": 4,
    "n_clusters": 4,
    "pairs_chosen_longer": 2,
    "pairs_chosen_shorter": 1,
    "accuracy_chosen_longer": (1 + 0) / 2,
    "accuracy_chosen_shorter": 1.0,
    "accuracy_length_balanced": 0.75,
    "length_bias": -0.5,
    "margin_preference_part": (0.9 * 4.5 + 0.1 * 7 - 0.5 * 3.5 + 0) / 4,
    "margin_length_part": (0.1 * -0.5 + 0.1 * 3 - 0.5 * 0.5 + 0) / 4,
    # Parts 0.9 * 4.5, 0.1 * 7, -0.5 * 3.5 and -0.05, 0.3, -0.25 of the shorter and the two longer.
    "length_bias_preference_part": (1 + 0) / 2 - 1,
    "length_bias_length_part": (1 + 0) / 2 - 0,
    "length_spearman": 1 - 6 * (9 + 1 + 4 + 0) / (4 * 15),  # ranks 4 3 1 2 against 1 4 3 2
    "reward_length_correlation": 5 / math.sqrt(12.875 * 32),
    "length_slope": -4.5 / 29 * math.sqrt(29 / 3),
    "longer_wins_baseline": (0 + 1 + 1 + 0.5) / 4,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_metric_equals_the_value_derived_by_hand(name, four_pairs):
    assert getattr(metrics, name)(four_pairs) == pytest.approx(BY_HAND[name], abs=1e-12)


def test_effective_beta_is_the_spread_of_the_sigmoids_argument(four_pairs):
    assert metrics.effective_beta(four_pairs, 0.1) == pytest.approx(0.1 * 2.5)
    assert metrics.effective_beta(four_pairs, 0.1, "log_prob") == pytest.approx(0.1 * 2.5)


def test_effective_beta_of_ipo_is_the_share_of_its_target_that_was_reached(four_pairs):
    mean_margin = (0.9 + 0.1 - 0.5 + 0) / 4
    assert metrics.effective_beta(four_pairs, 5.0, "mean_log_ratio") == pytest.approx(mean_margin / (1 / 10))


@pytest.mark.parametrize(("floor", "share"), [(0.0, 0.25), (1.0, 0.5), (2.0, 0.75), (4.0, 1.0)])
def test_undecided_pairs_include_the_floor_itself(floor, share, four_pairs):
    assert metrics.undecided_fraction(four_pairs, floor) == share


def test_policy_equal_to_reference_is_a_tie_everywhere(pair_table):
    same = pair_table([(-3.3, -7.7, -3.3, -7.7, 3, 9), (-0.1, -0.2, -0.1, -0.2, 2, 1)])
    found = metrics.measure(same, reward="log_ratio", beta=0.1, noise_floor=0.0)
    assert found["preference_accuracy"] == found["mean_ratio_accuracy"] == found["reward_accuracy"] == 0.5
    assert found["margin"] == found["length_bias"] == found["displaced_fraction"] == 0
    assert found["undecided_fraction"] == 1


# Multiples of 1/64 keep sums and differences exact, so that a tie stays a tie after a swap.
LOGP = st.integers(-6400, 0).map(lambda value: value / 64)
TOKENS = st.integers(1, 50)
ROWS = st.lists(st.tuples(LOGP, LOGP, LOGP, LOGP, TOKENS, TOKENS), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_swapping_chosen_and_rejected_mirrors_every_accuracy(rows, pair_table, swapped):
    before = metrics.measure(pair_table(rows), reward="mean_log_prob", beta=0.1, noise_floor=0.5)
    after = metrics.measure(swapped(pair_table(rows)), reward="mean_log_prob", beta=0.1, noise_floor=0.5)
    mirrored = {name: 1 - before[name] for name in before if name.endswith("accuracy")}
    mirrored |= {name: 1 - before[name] for name in ("longer_wins_baseline",)}
    mirrored |= {
        name: -before[name]
        for name in before
        if name.endswith("_gain") or name in ("margin", "margin_preference_part", "margin_length_part")
    }
    mirrored |= {
        "accuracy_chosen_longer": 1 - before["accuracy_chosen_shorter"],
        "accuracy_length_balanced": 1 - before["accuracy_length_balanced"],
        "chosen_logp_drift": before["rejected_logp_drift"],
        "pairs_chosen_longer": before["pairs_chosen_shorter"],
        "length_bias": before["length_bias"],
        "reward_length_bias": before["reward_length_bias"],
        "length_spearman": before["length_spearman"],
        "margin_std": before["margin_std"],
        "undecided_fraction": before["undecided_fraction"],
        "preference_accuracy_se": before["preference_accuracy_se"],
    }
    assert len(mirrored) > 15
    for name, value in mirrored.items():
        assert after[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_the_margin_is_its_preference_part_plus_its_length_part(rows, pair_table):
    pairs = pair_table(rows)
    parts = metrics.margin_preference_part(pairs) + metrics.margin_length_part(pairs)
    assert parts == pytest.approx(metrics.margin(pairs), abs=1e-9)


@pytest.mark.filterwarnings("error")
def test_a_foreign_table_without_the_optional_columns_is_measured_and_lacks_these_metrics_alone(four_pairs):
    found = metrics.measure(four_pairs, reward="log_ratio", beta=0.1, noise_floor=0.0)
    absent = {name.removesuffix("_se") for name, value in found.items() if math.isnan(value)}
    assert {
        "chosen_logp_drift_first",
        "chosen_logp_drift_rest",
        "rejected_logp_drift_first",
        "displacement_similarity",
        "rejected_logp_drift_rest",
    } <= absent
    for name in (
        "preference_accuracy",
        "margin",
        "chosen_logp_drift",
        "length_bias_length_part",
        "length_bias_preference_part",
        "reward_length_correlation",
    ):
        assert found[name] == pytest.approx(BY_HAND[name])


def test_measure_returns_every_pair_metric_column_in_declared_order(four_pairs):
    found = metrics.measure(four_pairs, reward="log_prob", beta=0.1, noise_floor=1.0)
    assert tuple(found) == row.names(row.PAIR_METRIC_COLUMNS)
    assert found["reward_accuracy"] == 0.375 and found["undecided_fraction"] == 0.5
    assert all(isinstance(value, float | int) for value in found.values())
    assert found["effective_beta"] == pytest.approx(0.1 * 2.5)


def test_no_noise_floor_is_none(four_pairs):
    assert metrics.estimate("undecided_fraction", four_pairs).value == 0.25


def test_a_table_without_clusters_cannot_be_measured_whole(four_pairs):
    said = (
        "^The pair table lacks cluster_id, which standard errors need; set it to pair_id where the rows are independent"
    )
    with pytest.raises(ValueError, match=said):
        metrics.measure(four_pairs.drop(columns="cluster_id"), reward=None, beta=None, noise_floor=0.0)
    with pytest.raises(ValueError, match=said):
        metrics.n_clusters(four_pairs.drop(columns="cluster_id"))


def test_a_baseline_without_reward_and_beta_has_no_accuracy_under_its_own(four_pairs):
    found = metrics.measure(four_pairs, reward=None, beta=None, noise_floor=0.0)
    assert math.isnan(found["reward_accuracy"]) and math.isnan(found["effective_beta"])
    assert found["preference_accuracy"] == 0.625


@pytest.mark.filterwarnings("error")
def test_an_empty_table_gives_missing_values_and_no_warning(four_pairs):
    found = metrics.measure(four_pairs.iloc[:0], reward="log_odds", beta=0.1, noise_floor=0.0)
    counts = {name: found.pop(name) for name in ("n", "n_clusters", "pairs_chosen_longer", "pairs_chosen_shorter")}
    assert set(counts.values()) == {0}
    assert all(math.isnan(value) for value in found.values())


def test_clipped_fraction_is_the_share_of_clipped_steps():
    assert metrics.clipped_fraction(pd.DataFrame({"clipped": [True, False, False, False]})) == 0.25


def test_unknown_metric_lists_the_known():
    with pytest.raises(ValueError, match="unknown metric 'accuracy'. Known: preference_accuracy, .*margin, .*\\.$"):
        metrics.estimate("accuracy", pd.DataFrame())
