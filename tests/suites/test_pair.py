"""Suites keep their promises: valid rows, unique ids, every row accounted for."""

import pickle
from dataclasses import replace

import pytest

from suites import Example, Message, Pair, Suite, SuiteError, first_human_turn

PROMPT = (Message("system", "Be brief."), Message("user", "Capital of France?"))
PAIR = Pair("1", PROMPT, "Paris.", "Rome.", "c1", "train")
EXAMPLE = Example("1", PROMPT, "Paris.", True, "c1", "test")


def test_the_first_human_turn_skips_the_system_message():
    assert first_human_turn(PROMPT) == "Capital of France?"
    with pytest.raises(SuiteError, match="at least one user message"):
        first_human_turn((Message("system", "Be brief."),))


def test_a_suite_keeps_its_rows_and_survives_a_trip_to_a_spawned_worker():
    suite = Suite("s", (row for row in [PAIR]), "pairs", {"identical": 2}, read=3)
    assert suite.rows == (PAIR,) and suite.rows[0] == PAIR
    assert pickle.loads(pickle.dumps(suite)) == suite
    with pytest.raises(TypeError):
        suite.dropped["identical"] = 0


def test_votes_and_sources_are_left_open_by_default_and_travel_along():
    assert (PAIR.agreement, PAIR.source, EXAMPLE.source) == (None, "", "")
    row = replace(PAIR, agreement=2 / 3, source="part")
    assert pickle.loads(pickle.dumps(Suite("s", [row], "pairs", read=1))).rows == (row,)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (replace(PAIR, split="eval"), "split 'eval' is not one of train, validation, test"),
        (replace(PAIR, prompt=()), "must end with the turn"),
        (replace(PAIR, prompt=(*PROMPT, Message("assistant", "Hm."))), "must end with the turn"),
        (replace(PAIR, prompt=(Message("human", "Hi"),)), "role 'human'"),
        (replace(PAIR, rejected=" \n"), "an answer is empty"),
        (EXAMPLE, "suite 's' of pairs holds a Example"),
    ],
)
def test_a_row_that_nothing_could_use_is_refused(row, words):
    with pytest.raises(SuiteError, match=words):
        Suite("s", (row,), "pairs", read=1)


def test_two_rows_cannot_share_an_id():
    with pytest.raises(SuiteError, match="'1' occurs twice"):
        Suite("s", (PAIR, PAIR), "pairs", read=2)


def test_every_row_read_is_kept_or_counted():
    with pytest.raises(SuiteError, match="5 rows read, but 1 kept and 2 dropped"):
        Suite("s", (PAIR,), "pairs", {"identical": 2}, read=5)


def test_an_unknown_kind_is_refused():
    with pytest.raises(SuiteError, match="neither 'pairs' nor 'examples'"):
        Suite("s", (), "triples")
