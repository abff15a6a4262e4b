"""Metrics of each source of a mixture: the same numbers as of its rows alone."""

import pandas as pd
import pytest

from results import metrics
from results.metrics.by_source import by_source
from results.schema.row import of_source, sources


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
