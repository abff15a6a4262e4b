"""What an audit found is data: it cannot be changed, travels, and counts both beginnings."""

import dataclasses
import pickle

import pytest

from suites import Message, Pair, Suite
from suites.audit.measure import audit
from suites.audit.report import Lengths


def pair(row_id: str, chosen: str, rejected: str) -> Pair:
    return Pair(row_id, (Message("user", row_id),), chosen, rejected, row_id, "train")


FOUND = audit(Suite("toy", [pair("1", "a b", "a"), pair("2", "a", "a b"), pair("3", "x", "y")], "pairs", read=3))


def test_a_prefix_counts_whichever_answer_goes_on():
    assert (FOUND.chosen_is_prefix, FOUND.rejected_is_prefix, FOUND.prefix) == (1, 1, 2)


def test_lengths_hold_median_and_longest_of_characters_and_words():
    # chosen: "a b", "a", "x": 3, 1, 1 characters and 2, 1, 1 words
    assert FOUND.lengths["chosen"] == Lengths(1, 3, 1, 2)
    assert set(FOUND.lengths) == {"prompt", "chosen", "rejected"}


def test_findings_cannot_be_changed_and_come_back_from_another_process():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FOUND.kept = 4
    assert pickle.loads(pickle.dumps(FOUND)) == FOUND


def test_what_pairs_lack_is_none_and_not_zero():
    assert (FOUND.desirable, FOUND.agreement, FOUND.agreement_rows) == (None, None, 0)
