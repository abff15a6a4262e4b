"""Tables as text: headings from the schema, one line a row, and crossed tables."""

import pandas

from reports.text.grids import Head, crossed, grid, plain
from reports.text.numbers import Field

FIELDS = (
    Field("loss", "loss", "text"),
    Field("preference_accuracy", "preference accuracy", "share", "accuracy", error=True),
    Field("margin", "margin, nats", "nats"),
)


def test_a_heading_tells_the_declared_meaning_and_which_way_is_better(make) -> None:
    loss, accuracy, margin = grid(make.frame(make.cell("dpo")), FIELDS).heads
    assert (accuracy.text, accuracy.group, accuracy.arrow, accuracy.numeric) == (
        "preference accuracy ± se",
        "accuracy",
        "↑",
        True,
    )
    assert accuracy.meaning.startswith("preference_accuracy: pairs with h > 0") and "(share)" in accuracy.meaning
    assert margin.arrow == "" and not loss.numeric


def test_an_error_that_is_not_shown_can_be_read_by_hovering(make) -> None:
    (line,) = grid(make.frame(make.cell("dpo", margin_se=0.1)), FIELDS).lines
    assert line.texts == ("dpo", "0.620 ± 0.031", "1.02")
    assert line.hovers == ("", "", "1.02 ± 0.10 (standard error)")


def test_the_best_of_a_row_are_places_of_its_columns(make) -> None:
    frame = make.frame(make.cell("dpo"), make.cell("sft"))
    best: list[frozenset[str]] = [frozenset({"preference_accuracy"}), frozenset()]
    first, second = grid(frame.assign(best=best, perturbations=["train pairs 64", ""]), FIELDS).lines
    assert (first.best, first.group, first.control) == ({1}, "train pairs 64", False)
    assert (second.best, second.group, second.control) == (frozenset(), "", True)


def test_a_crossed_grid_has_a_dash_where_there_is_no_row() -> None:
    rows = pandas.DataFrame({"name": ["dpo", "dpo", "ipo"], "n": [2, 1, 2], "value": [0.5, 0.25, 1.0]})
    made = crossed(
        rows.assign(loss=rows["name"], control=False),
        "name",
        "n",
        lambda value: Head(f"n {value}", "", "", "", True),
        lambda row: str(row["value"]),
    )
    assert [head.text for head in made.heads] == ["setting", "n 1", "n 2"]
    assert [line.texts for line in made.lines] == [("dpo", "0.25", "0.5"), ("ipo", "–", "1.0")]


def test_a_plain_grid_has_its_words_as_given() -> None:
    made = plain((("loss", False), ("p", True)), [("dpo", ("dpo", "0.04"))])
    assert [head.numeric for head in made.heads] == [False, True]
    assert made.lines[0].texts == ("dpo", "0.04") and made.lines[0].hovers == ("", "")
