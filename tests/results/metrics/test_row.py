"""The numbers of a row from its tables, on tables checked by hand."""

import math

import pandas as pd
import pytest

from results import metrics
from results.metrics.row import by_source, derived
from results.schema.row import of_source, sources


def test_the_last_evaluation_counts_and_each_split_for_itself(pair_table, curve_table):
    early = pair_table([(-9.0, -1.0, -5.0, -5.0, 2, 2)], step=2)
    test = pair_table([(-4.0, -6.0, -5.0, -5.0, 2, 2), (-6.0, -4.0, -5.0, -5.0, 2, 2)])
    validation = pair_table([(-4.0, -6.0, -5.0, -5.0, 2, 2)], split="validation")
    curve = curve_table().assign(seconds=[1.0, 4.0])
    tables = pd.concat([early, test, validation], ignore_index=True)
    numbers = derived(tables, curve, reward="log_ratio", beta=0.1, noise_floor=0.0)
    assert numbers["steps"] == 4 and numbers["n"] == 2
    assert numbers["preference_accuracy"] == 0.5 and numbers["validation_preference_accuracy"] == 1.0
    assert numbers["train_seconds"] == 4.0 and numbers["tokens_per_second"] == pytest.approx(25.0)
    assert numbers["clipped_fraction"] == 0.5


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
    untrained = derived(begun, None, reward=None, beta=None, noise_floor=0.0)
    assert "margin_at_start" not in untrained


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
