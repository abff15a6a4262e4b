"""Splits are a pure function of the first human turn, and test turns never reach training."""

from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suites import SuiteError, cluster_of, split_of
from suites.splits import declared_split, fraction_of, place_rows


def test_known_turns_keep_their_split_and_cluster_for_ever():
    # First two bytes by coreutils' sha256sum: a ca97 (0.791), b 3e23 (0.243), g cd0a (0.801), h aaa9 (0.667).
    assert [split_of(turn) for turn in "abgh"] == ["validation", "train", "test", "train"]
    assert cluster_of("a") == "ca978112ca1bbdca"


def test_a_fraction_is_the_hashs_first_eight_bytes_below_one():
    # sha256("") begins with e3b0c44298fc1c14
    assert fraction_of("") == 0xE3B0C44298FC1C14 / 2**64
    assert 0 <= fraction_of("Tea?") < 1


def test_the_shares_are_seventy_ten_twenty():
    shares = Counter(split_of(f"turn {number}") for number in range(20_000))
    assert shares["train"] / 20_000 == pytest.approx(0.7, abs=0.01)
    assert shares["validation"] / 20_000 == pytest.approx(0.1, abs=0.01)


@given(st.text())
def test_the_split_agrees_with_the_first_eight_bytes_of_the_hash(turn):
    place = int(sha256(turn.encode()).hexdigest()[:16], 16) / 16**16
    expected = "train" if place < 0.7 else "validation" if place < 0.8 else "test"
    assert split_of(turn) == expected


def test_rows_of_a_source_without_splits_are_placed_by_hash():
    turns = [f"turn {number}" for number in range(50)]
    assert place_rows(turns, [None] * 50) == [split_of(turn) for turn in turns]


def test_validation_is_a_tenth_of_train_where_the_source_has_train_and_test():
    turns = [f"turn {number}" for number in range(5_000)] + ["held out"]
    placed = place_rows(turns, ["train"] * 5_000 + ["test"])
    assert placed[-1] == "test"
    assert Counter(placed)["validation"] == pytest.approx(500, abs=60)
    assert placed == place_rows(turns, ["train"] * 5_000 + ["test"])


def test_a_validation_split_of_the_source_is_left_alone():
    placed = place_rows(["a", "b", "c"], ["train", "validation", "test"])
    assert placed == ["train", "validation", "test"]


def test_train_and_validation_rows_whose_turn_is_in_test_are_marked():
    turns = ["same", "same", "same", "other"]
    assert place_rows(turns, ["train", "validation", "test", "train"]) == [None, None, "test", "train"]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["train", "test", None]))))
def test_no_turn_is_ever_in_test_and_in_another_split(rows):
    turns = [turn for turn, _ in rows]
    placed = place_rows(turns, [split for _, split in rows])
    tested = {turn for turn, split in zip(turns, placed, strict=True) if split == "test"}
    assert not any(turn in tested for turn, split in zip(turns, placed, strict=True) if split not in ("test", None))


@pytest.mark.parametrize("word", ["valid", "val", "dev", "Validation "])
def test_the_usual_words_for_validation_are_understood(word):
    assert declared_split(word, "f.csv:2") == "validation"


def test_an_unknown_split_word_is_an_error_that_lists_the_known_ones():
    with pytest.raises(SuiteError, match=r"f.csv:2: split 'eval' is not known; allowed: train, .*test"):
        declared_split("eval", "f.csv:2")
