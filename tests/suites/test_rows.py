"""Rows in columns give back exactly what went in, as a whole, in parts, and in another process."""

import pickle
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suites import Example, Message, Pair
from suites import rows as module
from suites.rows import Rows

PROMPT = (Message("system", "Be brief."), Message("user", "Höflich?"))
PAIRS = [Pair(str(n), PROMPT[: 1 + n % 2], f"yes {n}", "", "c", "train", None if n % 3 else n / 2) for n in range(25)]


@dataclass(frozen=True)
class Tokens:
    """What the harness keeps: ids inside tuples inside a tuple, and values that may be missing."""

    id: str
    ids: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    good: bool | None = None
    scores: tuple[float, float] | None = None


TOKENS = [
    Tokens("a", (1, 2), ((3,), ()), True),
    Tokens("b", (), (), None, (0.5, 2.0)),
    Tokens("c", (7,), ((8, 9), (10,), (11,)), False),
]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Several chunks without many rows."""
    monkeypatch.setattr(module, "CHUNK", 4)


def test_rows_come_back_as_they_were():
    assert list(Rows.of(PAIRS, Pair)) == PAIRS
    assert list(Rows.of(iter(TOKENS), Tokens)) == TOKENS
    examples = [Example("1", PROMPT, "text", False, "c", "test")]
    assert list(Rows.of(examples, Example)) == examples
    assert list(Rows.of([], Pair)) == []


def test_a_row_is_found_by_place_from_either_end():
    rows = Rows.of(PAIRS, Pair)
    assert (rows[0], rows[7], rows[-1]) == (PAIRS[0], PAIRS[7], PAIRS[-1])
    with pytest.raises(IndexError):
        rows[25]


def test_parts_of_parts_are_views_of_one_table():
    rows = Rows.of(PAIRS, Pair)
    part = rows[3:20:2].take([4, 0, 4])
    assert list(part) == [PAIRS[11], PAIRS[3], PAIRS[11]]
    assert part.table is rows.table
    assert part.column("id").to_pylist() == ["11", "3", "11"]


def test_a_field_can_be_replaced_in_a_part():
    rows = Rows.of(PAIRS, Pair).take([2, 1]).replaced("split", ["test", "validation"])
    assert [(row.id, row.split) for row in rows] == [("2", "test"), ("1", "validation")]


def louder(pair: Pair) -> Pair:
    return replace(pair, chosen=pair.chosen.upper())


def test_a_change_is_made_on_access_in_every_part_and_in_another_process():
    rows = Rows.of(PAIRS, Pair)
    loud = rows.changed(louder)
    assert list(loud) == [louder(pair) for pair in PAIRS] and loud.table is rows.table
    assert loud[3:9].take([1])[0] == louder(PAIRS[4]) == pickle.loads(pickle.dumps(loud))[4]
    assert loud.column("chosen").to_pylist() == [pair.chosen for pair in PAIRS]
    assert loud.replaced("split", ["test"] * 25)[0] == replace(louder(PAIRS[0]), split="test")
    assert list(rows) == PAIRS


def test_rows_equal_any_sequence_of_equal_rows():
    rows = Rows.of(PAIRS, Pair)
    assert rows == PAIRS and rows == tuple(PAIRS) and rows == Rows.of(PAIRS, Pair)
    assert rows != PAIRS[:-1] and rows != PAIRS[::-1] and rows != 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(rows)


def test_rows_travel_and_a_table_shared_by_two_parts_travels_once():
    rows = Rows.of([Pair(str(n), PROMPT, "x" * 1000, "y", "c", "train") for n in range(100)], Pair)
    both = pickle.dumps((rows[:50], rows[50:]))
    assert len(both) < 130_000
    first, second = pickle.loads(both)
    assert [*first, *second] == list(rows)


def test_text_that_no_file_could_hold_is_an_error():
    with pytest.raises(UnicodeEncodeError):
        Rows.of([Pair("1", PROMPT, "\ud800", "b", "c", "train")], Pair)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
MESSAGES = st.lists(st.builds(Message, TEXT, TEXT), max_size=3).map(tuple)
SCORE = st.none() | st.floats(allow_nan=False)


@given(st.lists(st.builds(Pair, TEXT, MESSAGES, TEXT, TEXT, TEXT, TEXT, SCORE, SCORE, SCORE, TEXT), max_size=9))
def test_any_pairs_come_back(pairs):
    assert list(Rows.of(pairs, Pair)) == pairs
