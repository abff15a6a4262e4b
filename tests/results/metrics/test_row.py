"""The numbers of a row from its tables, on tables checked by hand."""

import math

import pandas as pd
import pytest

from results import metrics
from results.metrics.row import by_source, derived, derived_again
from results.schema.row import of_source, sources


def test_the_last_evaluation_counts_and_each_split_for_itself(pair_table, curve_table):
    early = pair_table([(-9.0, -1.0, -5.0, -5.0, 2, 2)], step=2)
    test = pair_table([(-4.0, -6.0, -5.0, -5.0, 2, 2), (-6.0, -4.0, -5.0, -5.0, 2, 2)])
    validation = pair_table([(-4.0, -6.0, -5.0, -5.0, 2, 2)], split="validation")
    curve = curve_table(3).assign(seconds=[1.0, 2.0, 8.0])
    tables = pd.concat([early, test, validation], ignore_index=True)
    numbers = derived(tables, curve, reward="log_ratio", beta=0.1, noise_floor=0.0)
    assert numbers["steps"] == 4 and numbers["n"] == 2
    assert numbers["preference_accuracy"] == 0.5 and numbers["validation_preference_accuracy"] == 1.0
    assert numbers["train_seconds"] == 8.0 and numbers["tokens_per_second"] == pytest.approx(25.0)
    assert numbers["clipped_fraction"] == pytest.approx(2 / 3)
    assert numbers["reward_accuracy"] == 0.5 and numbers["effective_beta"] == pytest.approx(0.1 * math.sqrt(8))
    assert numbers["validation_preference_accuracy_at_start"] == 0.5
    assert math.isnan(numbers["validation_preference_accuracy_se"])


def test_the_validation_accuracy_has_an_error_over_clusters(pair_table):
    validation = pair_table([(-4.0, -6.0, -5.0, -5.0, 2, 2), (-6.0, -4.0, -5.0, -5.0, 2, 2)], split="validation")
    tables = pd.concat([pair_table([(-4.0, -6.0, -5.0, -5.0, 2, 2)]), validation])
    numbers = derived(tables, None, reward=None, beta=None, noise_floor=0.0)
    assert numbers["validation_preference_accuracy_se"] == pytest.approx(0.5)


def test_a_table_without_rows_is_refused(four_pairs):
    with pytest.raises(ValueError, match="^The pair table holds no rows; a finished cell has measured some.$"):
        derived(four_pairs.iloc[:0], None, reward=None, beta=None, noise_floor=0.0)


def test_without_a_curve_and_validation_rows_their_columns_are_absent(four_pairs):
    numbers = derived(four_pairs, None, reward=None, beta=None, noise_floor=0.0)
    assert "train_seconds" not in numbers and "validation_preference_accuracy" not in numbers
    assert math.isnan(numbers["effective_beta"])


def test_a_later_round_is_measured_before_its_first_update_too(pair_table):
    begun = pair_table([(-4.0, -7.0, -5.0, -5.0, 2, 2)], step=0)
    ended = pair_table([(-3.0, -9.0, -5.0, -5.0, 2, 2)])
    numbers = derived(pd.concat([begun, ended]), None, reward=None, beta=None, noise_floor=0.0)
    assert (numbers["margin_at_start"], numbers["margin"]) == (3.0, 6.0)
    assert numbers["chosen_logp_drift_at_start"] == 1.0
    after_one = derived(pd.concat([begun, ended.assign(step=1)]), None, reward=None, beta=None, noise_floor=0.0)
    assert after_one["margin_at_start"] == 3.0
    untrained = derived(begun, None, reward=None, beta=None, noise_floor=0.0)
    assert "margin_at_start" not in untrained


def test_a_stored_row_says_by_what_its_tables_are_measured(four_pairs, curve_table):
    row = {"reward": "log_prob", "hyperparameters": '{"beta": 0.2}', "noise_floor": 1.0}
    told = {"reward": "log_prob", "beta": 0.2, "noise_floor": 1.0}
    curve = curve_table().assign(seconds=[1.0, 4.0])
    found = derived_again(row, four_pairs, curve)
    assert found == pytest.approx(derived(four_pairs, curve, **told), nan_ok=True)
    assert found["reward_accuracy"] == 0.375 and found["effective_beta"] == pytest.approx(0.5)
    assert found["undecided_fraction"] == 0.5 and found["train_seconds"] == 4.0
    assert derived_again(row | {"hyperparameters": {"beta": 0.2}}, four_pairs, curve) == pytest.approx(
        found, nan_ok=True
    )
    bare = derived_again({}, four_pairs, None)
    assert bare["undecided_fraction"] == 0.25 and math.isnan(bare["effective_beta"])
    with pytest.raises(ValueError, match=r"^hyperparameters are '\[0.2\]', which is no JSON object.$"):
        derived_again({"hyperparameters": "[0.2]"}, four_pairs, None)


@pytest.fixture
def mixed() -> pd.DataFrame:
    """Five pairs of two sources: all of "a" are ranked right, one of three of "b"."""
    margins = [("a", 1.0), ("a", 2.0), ("b", 1.0), ("b", -1.0), ("b", -2.0)]
    return pd.DataFrame(
        {
            "pair_id": [str(place) for place in range(5)],
            "cluster_id": list("vwxyz"),
            "policy_chosen_logp": [-10.0 + margin for _, margin in margins],
            "reference_chosen_logp": -10.0,
            "policy_rejected_logp": -12.0,
            "reference_rejected_logp": -12.5,
            "chosen_tokens": 3,
            "rejected_tokens": 4,
            "source": [source for source, _ in margins],
        }
    )


def test_each_source_is_measured_apart(mixed):
    found = by_source(mixed)
    assert found["preference_accuracy[a]"] == 1.0 and found["preference_accuracy[b]"] == pytest.approx(1 / 3)
    assert found["chosen_logp_drift[a]"] == 1.5 and found["rejected_logp_drift[b]"] == 0.5
    assert (found["n[a]"], found["n[b]"]) == (2, 3)
    alone = metrics.estimate("preference_accuracy", mixed[mixed["source"] == "b"])
    assert found["preference_accuracy[b]_se"] == alone.se > 0


def test_a_table_of_one_source_adds_no_column(mixed):
    assert by_source(mixed.drop(columns="source")) == {}


def test_the_sources_of_a_row_are_read_off_its_columns(mixed):
    assert sources(by_source(mixed)) == ("a", "b")
    assert sources(["preference_accuracy", "preference_accuracy_se"]) == ()
    assert of_source("margin", "a") == "margin[a]"
