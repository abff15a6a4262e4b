"""PandaLM: the majority of three votes, ties, empty answers, truth values as answers."""

import json
from collections import Counter

import pytest

import suites
from suites import SuiteError
from suites.public.pandalm import Votes, tally_votes
from suites.reading.cleaning import RowDropped
from tests.suites.conftest import SHARED


@pytest.mark.parametrize(
    ("votes", "says"), [([1, 1, 2], 1), ([2, 0, 2], 2), ([0, 0, 1], 0), ([0, 1, 2], 0), ([1, 1, 1], 1)]
)
def test_more_than_half_of_the_votes_decide(votes, says):
    shares = (votes.count(1) / 3, votes.count(2) / 3)
    assert tally_votes(votes) == Votes(says, shares)


@pytest.mark.parametrize("votes", [None, [1, 1], [1, 1, 3], ["1", "1", "1"], [None] * 3])
def test_other_votes_are_dropped(votes):
    with pytest.raises(RowDropped):
        tally_votes(votes)


def test_published_rows_join_instruction_and_input_and_keep_truth_values_as_text(tmp_path):
    row = {
        "instruction": "Is it?",
        "input": "The sky is blue.",
        "response1": False,
        "response2": "True.",
        "annotator1": 2,
        "annotator2": 2,
        "annotator3": 0,
    }
    (tmp_path / "testset-v1.json").write_text(json.dumps([row]))
    (pair,) = suites.load("pandalm", {"path": str(tmp_path)}).rows
    assert pair.prompt[0].content == "Is it?\n\nThe sky is blue."
    assert (pair.chosen, pair.rejected, pair.agreement, pair.split) == ("True.", "False", 2 / 3, "test")


def test_the_set_is_not_on_the_hub():
    with pytest.raises(SuiteError, match="not on the hub: give suite.path=.*testset-v1.json"):
        suites.load("pandalm")


def test_the_shared_file_is_cleaned_with_these_counts():
    if not (SHARED / "pandalm").is_dir():
        pytest.skip("no shared/data/pandalm beside the checkout")
    # 105 rows are ties by the votes, two of them among the 54 with an empty side.
    suite = suites.load("pandalm", {"path": str(SHARED / "pandalm")})
    assert (suite.read, dict(suite.dropped), len(suite.rows)) == (999, {"empty_side": 54, "tie": 103}, 842)
    assert Counter(round(3 * row.agreement) for row in suite.rows) == {3: 744, 2: 98}
    kept = suites.load("pandalm", {"path": str(SHARED / "pandalm"), "ties": "half"})
    assert (len(kept.rows), dict(kept.dropped)) == (945, {"empty_side": 54})
    assert {row.split for row in kept.rows} == {"test"}
