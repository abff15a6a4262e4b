"""The door of the metrics: which tables are measured, and what is said of those that are not."""

import math

import numpy as np
import pandas as pd
import pytest

from results import metrics
from results.metrics.pair_table import REWARDS, checked, rewards, wins


def test_log_odds_refuses_probabilities_above_one(pair_table):
    with pytest.raises(ValueError, match="log_odds needs log-probs up to 0, but a mean of 1.5 nats"):
        metrics.reward_accuracy(pair_table([(3, -1, -1, -1, 2, 1)]), "log_odds")


def test_unknown_reward_names_the_nearest(four_pairs):
    with pytest.raises(ValueError, match="unknown reward 'log_ratios'; did you mean 'log_ratio'"):
        metrics.reward_accuracy(four_pairs, "log_ratios")


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


def test_a_table_becomes_arrays_with_its_log_ratios(four_pairs):
    table = checked(four_pairs)
    assert table.a.tolist() == [2, 1, -2, 0] and table.d.tolist() == [-2, 0, 0, 0] and table.h.tolist() == [4, 1, -2, 0]
    assert table.at_start().h.tolist() == [0, 0, 0, 0] and checked(table) is table
    assert np.isnan(table.similarity).all() and len(set(table.clusters)) == 4
    kept = table.where(np.array([True, False, False, True]))
    assert kept.h.tolist() == [4, 0] and len(kept.clusters) == 2


def test_rows_are_kept_by_the_sides_that_they_have(pair_table):
    nothing = math.nan
    table = checked(pair_table([(-1, nothing, -2, nothing, 3, nothing), (nothing, -1, nothing, -1, nothing, 2)]))
    assert [len(part.nc) for part in (table.paired(), table.with_chosen(), table.with_rejected())] == [0, 1, 1]


def test_each_reward_of_the_first_pair_by_hand(four_pairs):
    odds = [p - math.log(-math.expm1(p)) for p in (-10 / 4, -20 / 5)]
    by_hand = {
        "log_ratio": [2, -2],
        "mean_log_ratio": [0.5, -0.4],
        "log_prob": [-10, -20],
        "mean_log_prob": [-2.5, -4],
        "log_odds": odds,
    }
    assert set(REWARDS) == set(by_hand)
    for name, sides in by_hand.items():
        found = rewards(checked(four_pairs), name)
        assert [found.chosen[0], found.rejected[0]] == pytest.approx(sides), name


def test_an_exact_tie_is_half_a_win(four_pairs):
    assert wins(rewards(checked(four_pairs), "log_ratio")).tolist() == [1, 1, 0, 0.5]
