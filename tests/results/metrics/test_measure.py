"""Metrics against values derived by hand from the four pairs of conftest.py, and what must hold on any table.

The lengths of the four pairs: shorter, longer, longer, equal; nc - nr = -1, 6, 1, 0.
"""

import math

import numpy as np
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
def test_own_ruler_by_hand(reward, now, start, length_bias, four_pairs):
    assert metrics.reward_accuracy(four_pairs, reward) == pytest.approx(now)
    assert metrics.reward_accuracy_at_start(four_pairs, reward) == pytest.approx(start)
    assert metrics.reward_accuracy_gain(four_pairs, reward) == pytest.approx(now - start)
    assert metrics.reward_length_bias(four_pairs, reward) == pytest.approx(length_bias)


def test_effective_beta_is_the_spread_of_the_sigmoids_argument(four_pairs):
    assert metrics.effective_beta(four_pairs, 0.1) == pytest.approx(0.1 * 2.5)
    assert metrics.effective_beta(four_pairs, 0.1, "log_prob") == pytest.approx(0.1 * 2.5)


def test_effective_beta_of_ipo_is_the_share_of_its_target_that_was_reached(four_pairs):
    mean_margin = (0.9 + 0.1 - 0.5 + 0) / 4
    assert metrics.effective_beta(four_pairs, 5.0, "mean_log_ratio") == pytest.approx(mean_margin / (1 / 10))


@pytest.mark.parametrize(("floor", "share"), [(0.0, 0.25), (1.0, 0.5), (2.0, 0.75), (4.0, 1.0)])
def test_undecided_pairs_include_the_floor_itself(floor, share, four_pairs):
    assert metrics.undecided_fraction(four_pairs, floor) == share


def test_log_odds_is_exact_where_the_naive_form_is_not(pair_table):
    # Means of -1e-9 and -2e-9: exp rounds to 1 in fp32; means of -800 and -900: exp(-mean) overflows.
    close = pair_table([(-1e-9, -2e-9, -1, -1, 1, 1), (-800, -900, -1, -1, 1, 1), (0, -1e-9, -1, -1, 1, 1)])
    assert metrics.reward_accuracy(close, "log_odds") == 1
    both_certain = pair_table([(0, 0, -1, -1, 1, 1)])
    assert metrics.reward_accuracy(both_certain, "log_odds") == 0.5


def test_log_odds_refuses_probabilities_above_one(pair_table):
    with pytest.raises(ValueError, match="log_odds needs log-probs up to 0, but a mean of 1.5 nats"):
        metrics.reward_accuracy(pair_table([(3, -1, -1, -1, 2, 1)]), "log_odds")


def test_unknown_reward_names_the_nearest(four_pairs):
    with pytest.raises(ValueError, match="unknown reward 'log_ratios'; did you mean 'log_ratio'"):
        metrics.reward_accuracy(four_pairs, "log_ratios")


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
def test_swapping_chosen_and_rejected_mirrors_every_ruler(rows, pair_table, swapped):
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


def test_a_uniform_drift_moves_length_bias_and_no_preference(pair_table):
    # Margins -7, -5 ... 7 among the longer and among the shorter: 4 of 8 are right in each. A drift of -0.02 nats
    # a token adds -0.02 * 100 = -2 where the chosen answer is 100 tokens longer, so 3 of 8 are right, and +2 where
    # it is shorter: 5 of 8.
    def table(drift):
        return pair_table(
            [
                (-100 + h + drift * nc, -100 + drift * nr, -100, -100, nc, nr)
                for nc, nr in ((150, 50), (50, 150))
                for h in range(-7, 8, 2)
            ]
        )

    before, after = table(0.0), table(-0.02)
    assert metrics.length_bias(before) == 0
    assert metrics.length_bias(after) == pytest.approx(3 / 8 - 5 / 8)
    assert metrics.margin_preference_part(after) == pytest.approx(metrics.margin_preference_part(before))
    assert metrics.mean_ratio_accuracy(after) == metrics.mean_ratio_accuracy(before)
    assert metrics.accuracy_length_balanced(after) == metrics.accuracy_length_balanced(before) == 0.5
    assert metrics.length_slope(before) == pytest.approx(0)
    assert metrics.length_slope(after) < -1


def test_the_length_bias_of_the_preference_part_is_that_of_the_per_token_ruler(pair_table):
    random = np.random.default_rng(0)
    pairs = pair_table(
        [
            (-50 + x, -50 + y, -50, -50, nc, nr)
            for x, y, nc, nr in zip(
                random.normal(0, 5, 60),
                random.normal(0, 5, 60),
                random.integers(5, 40, 60),
                random.integers(5, 40, 60),
                strict=True,
            )
        ]
    )
    part = metrics.estimate("length_bias_preference_part", pairs)
    ruler = metrics.estimate("reward_length_bias", pairs, reward="mean_log_ratio")
    assert part == pytest.approx(ruler) and part.se > 0


def test_a_uniform_drift_is_all_length_part(pair_table):
    falling = pair_table([(-10 - 0.1 * nc, -10 - 0.1 * nr, -10, -10, nc, nr) for nc, nr in ((20, 10), (9, 30), (8, 4))])
    assert metrics.length_bias_length_part(falling) == -1
    assert metrics.margin_preference_part(falling) == pytest.approx(0)


FIRST = (
    "policy_chosen_logp_first",
    "policy_rejected_logp_first",
    "reference_chosen_logp_first",
    "reference_rejected_logp_first",
)


def test_drift_by_position_by_hand(pair_table):
    # a = 4, of it 1 in the first 10 of 12 tokens; d = -6, of it -5 in the first 10 of 14; then 4 and 2 tokens.
    pairs = pair_table([(-6, -16, -10, -10, 12, 14), (-2, -3, -4, -4, 4, 2)])
    pairs[list(FIRST)] = [[-8, -12, -9, -7], [-2, -3, -4, -4]]
    assert metrics.chosen_logp_drift_first(pairs) == pytest.approx((1 / 10 + 2 / 4) / 2)
    assert metrics.chosen_logp_drift_rest(pairs) == pytest.approx(3 / 2)
    assert metrics.rejected_logp_drift_first(pairs) == pytest.approx((-5 / 10 + 1 / 2) / 2)
    assert metrics.rejected_logp_drift_rest(pairs) == pytest.approx(-1 / 4)
    start = metrics.measure(
        pairs.assign(policy_chosen_logp=[-10, -4], policy_chosen_logp_first=[-9, -4]),
        reward=None,
        beta=None,
        noise_floor=0.0,
    )
    assert start["chosen_logp_drift_first"] == start["chosen_logp_drift_rest"] == 0


def test_displacement_goes_with_similarity_where_alike_answers_fall(pair_table):
    falls = (-1, -2, -3, 4)
    pairs = pair_table([(-10 + a, -20, -10, -10, 5, 5) for a in falls]).assign(edit_similarity=[0.2, 0.5, 0.9, 0.1])
    assert metrics.displacement_similarity(pairs) == pytest.approx(1)
    assert metrics.displacement_similarity(pairs.assign(edit_similarity=[0.9, 0.5, 0.2, 1.0])) == pytest.approx(-1)


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


def test_measure_returns_every_pair_metric_column_in_declared_order(four_pairs):
    found = metrics.measure(four_pairs, reward="log_prob", beta=0.1, noise_floor=1.0)
    assert tuple(found) == row.names(row.PAIR_METRIC_COLUMNS)
    assert found["reward_accuracy"] == 0.375 and found["undecided_fraction"] == 0.5
    assert all(isinstance(value, float | int) for value in found.values())


def test_a_control_without_reward_and_beta_has_no_own_ruler(four_pairs):
    found = metrics.measure(four_pairs, reward=None, beta=None, noise_floor=0.0)
    assert math.isnan(found["reward_accuracy"]) and math.isnan(found["effective_beta"])
    assert found["preference_accuracy"] == 0.625


@pytest.mark.filterwarnings("error")
def test_an_empty_table_gives_missing_values_and_no_warning(four_pairs):
    found = metrics.measure(four_pairs.iloc[:0], reward="log_odds", beta=0.1, noise_floor=0.0)
    counts = {name: found.pop(name) for name in ("n", "n_clusters", "pairs_chosen_longer", "pairs_chosen_shorter")}
    assert set(counts.values()) == {0}
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.filterwarnings("error")
def test_unpaired_rows_count_in_the_drifts_of_their_side_only(pair_table):
    nothing = math.nan
    pairs = pair_table(
        [
            (-8, -9, -10, -10, 2, 4),  # a = 2, d = 1
            (-6, nothing, -10, nothing, 4, nothing),  # a = 4
            (nothing, -15, nothing, -10, nothing, 5),  # d = -5
        ]
    )
    assert metrics.preference_accuracy(pairs) == 1 and metrics.n(pairs) == 1
    assert metrics.chosen_logp_drift(pairs) == 3
    assert metrics.rejected_logp_drift(pairs) == -2
    assert metrics.rejected_logp_drift_per_token(pairs) == pytest.approx((0.25 - 1) / 2)
    only_unpaired = metrics.measure(pairs.iloc[1:], reward="log_ratio", beta=0.1, noise_floor=0.0)
    assert math.isnan(only_unpaired["preference_accuracy"]) and only_unpaired["chosen_logp_drift"] == 4


def test_nullable_counts_are_measured_like_plain_ones(four_pairs):
    nullable = four_pairs.astype({"chosen_tokens": "Int64", "policy_chosen_logp": "Float64"})
    assert metrics.mean_ratio_accuracy(nullable) == metrics.mean_ratio_accuracy(four_pairs)


def test_missing_split_step_and_cluster_still_give_values(four_pairs):
    bare = four_pairs[
        [
            "policy_chosen_logp",
            "policy_rejected_logp",
            "reference_chosen_logp",
            "reference_rejected_logp",
            "chosen_tokens",
            "rejected_tokens",
        ]
    ]
    assert metrics.preference_accuracy(bare) == 0.625
    assert math.isnan(metrics.estimate("preference_accuracy", bare).se)
    with pytest.raises(ValueError, match="lacks cluster_id, which standard errors need"):
        metrics.measure(bare, reward=None, beta=None, noise_floor=0.0)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("split", ["test", "test", "validation", "test"]),
        ("split", [None, "test", "validation", "test"]),
        ("step", [1, 1, 1, 2]),
        ("cell", ["a", "a", "b", "b"]),
    ],
)
def test_a_table_that_mixes_measurements_is_refused(column, values, four_pairs):
    with pytest.raises(ValueError, match=f"mixes 2 values of {column}"):
        metrics.preference_accuracy(four_pairs.assign(**{column: values}))


def test_a_missing_split_value_means_test(four_pairs):
    split = [None, "test", "test", None]
    assert metrics.margin(four_pairs.assign(split=split)) == 0.75
    with pytest.raises(ValueError, match="mixes 2 values of split"):
        metrics.margin(four_pairs.assign(split=pd.Categorical([None, "train", "train", None])))


def test_missing_columns_are_named_with_those_found(four_pairs):
    with pytest.raises(ValueError, match="lacks reference_chosen_logp, chosen_tokens; found: pair_id"):
        metrics.margin(four_pairs.drop(columns=["reference_chosen_logp", "chosen_tokens"]))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("policy_chosen_logp", -math.inf, "policy_chosen_logp is -inf in pair 'pair-1'; allowed are finite"),
        ("reference_rejected_logp", math.inf, "reference_rejected_logp is inf in pair 'pair-1'"),
        ("policy_chosen_logp", math.nan, "1 rows have some of policy_chosen_logp, reference_chosen_logp, chosen"),
        ("rejected_tokens", 0, "rejected_tokens is 0 in pair 'pair-1'; allowed are counts of at least 1"),
        ("policy_chosen_logp", "much", "policy_chosen_logp must hold numbers"),
        ("cluster_id", None, "cluster_id is missing in pair 'pair-1'"),
    ],
)
def test_a_bad_value_is_refused_with_the_pair_it_is_in(column, value, message, four_pairs):
    bad = four_pairs.astype({column: object})
    bad.loc[1, column] = value
    with pytest.raises(ValueError, match=message):
        metrics.margin(bad)


def test_clipped_fraction_is_the_share_of_clipped_steps():
    assert metrics.clipped_fraction(pd.DataFrame({"clipped": [True, False, False, False]})) == 0.25


def test_unknown_metric_lists_the_known():
    with pytest.raises(ValueError, match="unknown metric 'accuracy'. Known: .*preference_accuracy"):
        metrics.estimate("accuracy", pd.DataFrame())
