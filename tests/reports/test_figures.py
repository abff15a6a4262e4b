"""Curves and strips as drawings."""

import re

import numpy
import pandas
import pytest

from reports import figures


@pytest.fixture
def drawn(make) -> list[figures.LossCurves]:
    rows = make.frame(make.cell("dpo", cell="a"), make.cell("orpo", cell="b"), make.cell("kto", cell="c"))
    curves = {"a": make.curve(), "b": make.curve(terms=("nll", "odds"))}
    return figures.loss_curves(rows, curves, "s0", most=24)


def test_a_loss_has_a_panel_for_each_question_and_one_for_its_terms(
    drawn: list[figures.LossCurves],
) -> None:
    assert [one.loss for one in drawn] == ["dpo", "orpo"]
    titles = ["reward, nats", "margin, nats", "batch accuracy", "chosen log-prob, nats"]
    assert [drawing.title for drawing in drawn[0].drawings] == titles
    assert [drawing.title for drawing in drawn[1].drawings] == [*titles, "terms of the loss"]
    assert drawn[0].drawings[0].keys == ("chosen", "rejected")
    assert drawn[1].drawings[4].keys == ("nll", "odds")


def test_drawings_name_no_colour_no_address_and_share_no_id(drawn: list[figures.LossCurves]) -> None:
    drawings = [drawing.svg for one in drawn for drawing in one.drawings]
    ids = [name for svg in drawings for name in re.findall(r'\sid="([^"]*)"', svg)]
    assert len(ids) == len(set(ids)) > 0
    for svg in drawings:
        assert "http" not in svg
        assert "var(--series)" in svg and "currentColor" in svg
        assert not re.search(r"(?:stroke|fill): #", svg)
        assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', svg)) <= set(ids)


def test_equal_curves_give_equal_drawings(make) -> None:
    rows = make.frame(make.cell("dpo", cell="a"))
    first, second = (figures.loss_curves(rows, {"a": make.curve()}, "x", most=1) for _ in range(2))
    assert first[0].drawings == second[0].drawings


def test_a_curve_of_one_step_and_one_without_values_can_be_drawn(make) -> None:
    short = make.curve(steps=1)
    empty = make.curve().assign(reward_rejected=numpy.nan, margin=numpy.inf)
    rows = make.frame(make.cell("dpo", cell="a"), make.cell("kto", cell="b"))
    drawn = figures.loss_curves(rows, {"a": short, "b": empty}, "x", most=2)
    assert [one.window for one in drawn] == [1, 3]


def test_many_cells_of_a_loss_are_sampled_with_both_ends(make) -> None:
    rows = make.frame(*(make.cell("dpo", cell=f"c{place}") for place in range(20)))
    (drawn,) = figures.loss_curves(rows, {name: make.curve() for name in rows["cell"]}, "x", most=1)
    assert [row["cell"] for row in drawn.rows] == ["c0", "c3", "c5", "c8", "c11", "c14", "c16", "c19"]
    assert drawn.left_out == 12
    assert drawn.opacities[0] == 1 and list(drawn.opacities) == sorted(drawn.opacities, reverse=True)


def test_no_more_losses_are_drawn_than_there_is_room_for(make) -> None:
    rows = make.frame(make.cell("dpo", cell="a"), make.cell("ipo", cell="b"))
    curves = {"a": make.curve(), "b": make.curve()}
    assert [one.loss for one in figures.loss_curves(rows, curves, "x", most=1)] == ["dpo"]
    assert figures.loss_curves(rows, curves, "x", most=0) == []


def test_the_strips_span_whole_tenths_around_every_value() -> None:
    rows = pandas.DataFrame({"preference_accuracy": [0.62], "accuracy_chosen_longer": [0.78]})
    low, high = figures.strip_range(rows)
    assert (low, high) == (pytest.approx(0.4), pytest.approx(0.9))


def test_a_strip_places_accuracy_between_its_errors() -> None:
    svg = figures.strip({"preference_accuracy": 0.5, "preference_accuracy_se": 0.1}, (0.0, 1.0))
    assert 'cx="50.0"' in svg
    assert 'd="M41.2 9.0H58.8"' in svg


def test_a_cell_without_accuracy_has_no_strip() -> None:
    assert figures.strip({"preference_accuracy": None}, (0.0, 1.0)) == ""
