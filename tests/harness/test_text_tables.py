"""Aligned text: columns, the width of a line, and the card of one name."""

import pytest

from harness.text_tables import card, table


def test_the_last_column_is_wrapped_under_itself(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = table(("a", "b"), [("name", "word " * 30)]).splitlines()
    assert lines[0] == "a     b"
    assert len(lines) == 3  # 15 words of 5 characters in each 74
    assert all(line.startswith("      word") for line in lines[2:])


def test_columns_are_as_wide_as_their_longest_cell_and_no_line_ends_in_blanks():
    shown = table(("loss", "beta", ""), [("dpo", "0.1", "as published"), ("cdpo", "0.25", "")])
    assert shown == "loss  beta\ndpo   0.1   as published\ncdpo  0.25\n"


def test_a_last_column_that_is_cut_ends_in_one_sign_within_the_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    short, long = "x" * 74, "y" * 75
    lines = table(("a", "b"), [("name", short), ("name", long)], cut=True).splitlines()
    assert lines[1:] == [f"name  {short}", f"name  {'y' * 73}…"]


@pytest.mark.parametrize(("columns", "line"), [("20", 80), ("100", 100), ("1000", 140)])
def test_a_line_follows_the_terminal_between_80_and_140_characters(monkeypatch, columns, line):
    monkeypatch.setenv("COLUMNS", columns)
    shown = table(("a", "b"), [("n", "z" * 500)], cut=True).splitlines()
    assert len(shown[1]) == line


def test_a_last_column_keeps_30_characters_beside_wide_ones_and_long_words_stay_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    wide = "w" * 78
    lines = table((wide, "b"), [("", "aaaaa " * 6), ("", "long-" * 10)]).splitlines()
    assert [line.strip() for line in lines[1:]] == ["aaaaa " * 4 + "aaaaa", "aaaaa", "long-" * 10]


def test_a_card_shows_the_fields_that_say_something():
    assert card("dpo", [("paper", "2305.18290"), ("note", ""), ("kind", "pairwise")]) == (
        "dpo\n  paper  2305.18290\n  kind   pairwise\n"
    )


def test_a_card_without_fields_is_its_name():
    assert card("dpo", [("note", "")]) == "dpo\n"
