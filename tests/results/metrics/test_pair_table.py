"""The door of the metrics: which tables are measured, and what is said of those that are not."""

import inspect
import math

import numpy as np
import pandas as pd
import pytest

from results import metrics
from results.metrics import pair_table as door
from results.metrics.pair_table import OPTIONAL, REWARDS, PairArrays, checked, rewards, wins
from results.metrics.statistics import Estimate


def test_log_odds_refuses_probabilities_above_one(pair_table):
    with pytest.raises(ValueError, match="log_odds needs log-probs up to 0, but a mean of 1.5 nats"):
        metrics.reward_accuracy(pair_table([(3, -1, -1, -1, 2, 1)]), "log_odds")
    with pytest.raises(ValueError, match="but a mean of 0.5 nats"):
        metrics.reward_accuracy(pair_table([(1, -1, -1, -1, 2, 1)]), "log_odds")


@pytest.mark.filterwarnings("error")
def test_log_odds_are_exact_from_certain_to_nearly_impossible(pair_table):
    # p = 1; p = 1 - 1e-12 with odds 1e12 - 1; p = 2/3 with odds 2; p = 1/3 with odds 1/2; exp(-40), whose odds are as
    # small; exp(-800), which is 0 in floating point.
    means = (0.0, math.log1p(-1e-12), math.log(2 / 3), math.log(1 / 3), -40.0, -800.0)
    table = checked(pair_table([(mean, -1, -1, -1, 1, 1) for mean in means]))
    by_hand = [math.inf, math.log(1e12 - 1), math.log(2), -math.log(2), -40.0, -800.0]
    assert rewards(table, "log_odds").chosen == pytest.approx(by_hand, rel=1e-14, abs=1e-15)


def test_unknown_reward_names_the_nearest(four_pairs):
    with pytest.raises(ValueError, match="unknown reward 'log_ratios'; did you mean 'log_ratio'"):
        metrics.reward_accuracy(four_pairs, "log_ratios")
    known = "log_ratio, mean_log_ratio, log_prob, mean_log_prob, log_odds"
    with pytest.raises(ValueError, match=f"unknown reward 'X'. Known: {known}.$"):
        metrics.reward_accuracy(four_pairs, "X")


def test_nullable_counts_are_measured_like_plain_ones(four_pairs):
    nullable = four_pairs.astype({"chosen_tokens": "Int64", "policy_chosen_logp": "Float64"})
    assert metrics.mean_ratio_accuracy(nullable) == metrics.mean_ratio_accuracy(four_pairs)
    nullable.loc[0, ["chosen_tokens", "policy_chosen_logp", "reference_chosen_logp"]] = pd.NA
    assert np.isnan(checked(nullable).nc).tolist() == [True, False, False, False] and metrics.n(nullable) == 3
    assert metrics.chosen_logp_drift(nullable) == (1 - 2 + 0) / 3


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


def test_of_many_measurements_the_first_five_are_named(pair_table):
    table = pair_table([(-1, -2, -1, -2, 1, 1)] * 6).assign(cell=list("fedcba"))
    with pytest.raises(ValueError, match=r"mixes 6 values of cell \(a, b, c, d, e\); measure one at a time"):
        metrics.margin(table)
    with pytest.raises(ValueError, match="mixes 2 values of cell"):  # a missing cell is no cell of that name
        metrics.margin(table.assign(cell=["test", None] * 3))


def test_a_missing_split_value_means_test(four_pairs):
    split = [None, "test", "test", None]
    assert metrics.margin(four_pairs.assign(split=split)) == 0.75
    with pytest.raises(ValueError, match="mixes 2 values of split"):
        metrics.margin(four_pairs.assign(split=pd.Categorical([None, "train", "train", None])))


def test_missing_columns_are_named_with_those_found(four_pairs):
    with pytest.raises(ValueError, match="lacks reference_chosen_logp, chosen_tokens; found: pair_id, cluster_id, "):
        metrics.margin(four_pairs.drop(columns=["reference_chosen_logp", "chosen_tokens"]))
    with pytest.raises(ValueError, match="lacks policy_chosen_logp, .*; found: no columns.$"):
        metrics.margin(pd.DataFrame())


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("policy_chosen_logp", -math.inf, "policy_chosen_logp is -inf in pair 'pair-1'; allowed are finite"),
        ("reference_rejected_logp", math.inf, "reference_rejected_logp is inf in pair 'pair-1'"),
        ("policy_chosen_logp", math.nan, "1 rows have some of .* and lack others, first pair 'pair-1'; a completion"),
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
    assert table.with_chosen().c.tolist() == [-1] and table.with_rejected().r.tolist() == [-1]


def test_optional_columns_are_read_and_the_start_has_the_references(pair_table):
    given = {name: [-1.0 - place] for place, name in enumerate(OPTIONAL.values())}
    table = checked(pair_table([(-9, -9, -9, -9, 3, 3)]).assign(**given))
    assert [getattr(table, field).tolist() for field in OPTIONAL] == list(given.values())
    start = table.at_start()
    assert (start.c_first, start.r_first) == (table.c0_first, table.r0_first)


def test_a_metric_is_kept_under_its_name_and_asks_for_what_its_estimator_asks(monkeypatch, four_pairs):
    monkeypatch.setattr(door, "METRICS", {})

    def first_margin(pairs: PairArrays, scale: float = 2.0) -> Estimate:
        return Estimate(float(scale * pairs.h[0]))

    found = door.metric(first_margin)
    assert door.METRICS == {"first_margin": first_margin}
    assert found(four_pairs) == 8 and found(four_pairs, 1.0) == found(four_pairs, scale=1.0) == 4
    signature = inspect.signature(found)
    assert list(signature.parameters) == ["pairs", "scale"] and signature.return_annotation is float


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
