"""Curves as drawings, on a page and in files."""

import re

import numpy
import pytest

from reports.figures import curves as figures
from reports.figures import drawing
from reports.figures.drawing import LIGHT

COLOURS = {"dpo": "0", "ipo": "1", "orpo": "2", "kto": "3"}


@pytest.fixture
def drawn(make) -> list[figures.LossCurves]:
    rows = make.frame(make.cell("dpo", cell="a"), make.cell("orpo", cell="b"), make.cell("kto", cell="c"))
    curves = {"a": make.curve(), "b": make.curve(terms=("nll", "odds"))}
    return figures.loss_curves(rows, curves, COLOURS, "s0", most=24)


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
        assert re.search(r"var\(--c[02]\)", svg) and "currentColor" in svg
        assert not re.search(r"(?:stroke|fill): #", svg)
        assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', svg)) <= set(ids)


def test_equal_curves_give_equal_drawings(make) -> None:
    rows = make.frame(make.cell("dpo", cell="a"))
    first, second = (figures.loss_curves(rows, {"a": make.curve()}, COLOURS, "x", most=1) for _ in range(2))
    assert first[0].drawings == second[0].drawings


def test_a_curve_of_one_step_and_one_without_values_can_be_drawn(make) -> None:
    short = make.curve(steps=1)
    empty = make.curve().assign(reward_rejected=numpy.nan, margin=numpy.inf)
    rows = make.frame(make.cell("dpo", cell="a"), make.cell("kto", cell="b"))
    drawn = figures.loss_curves(rows, {"a": short, "b": empty}, COLOURS, "x", most=2)
    assert [one.window for one in drawn] == [1, 3]


def test_many_cells_of_a_loss_are_sampled_with_both_ends(make) -> None:
    rows = make.frame(*(make.cell("dpo", cell=f"c{place}") for place in range(20)))
    (drawn,) = figures.loss_curves(rows, {name: make.curve() for name in rows["cell"]}, COLOURS, "x", most=1)
    assert [row["cell"] for row in drawn.rows] == ["c0", "c3", "c5", "c8", "c11", "c14", "c16", "c19"]
    assert drawn.left_out == 12
    assert drawn.opacities[0] == 1 and list(drawn.opacities) == sorted(drawn.opacities, reverse=True)


def test_no_more_losses_are_drawn_than_there_is_room_for(make) -> None:
    rows = make.frame(make.cell("dpo", cell="a"), make.cell("ipo", cell="b"))
    curves = {"a": make.curve(), "b": make.curve()}
    assert [one.loss for one in figures.loss_curves(rows, curves, COLOURS, "x", most=1)] == ["dpo"]
    assert figures.loss_curves(rows, curves, COLOURS, "x", most=0) == []


def test_a_file_has_colours_title_and_legend_of_its_own(drawn: list[figures.LossCurves]) -> None:
    for one, colour in zip(drawn, (LIGHT["c0"], LIGHT["c2"]), strict=True):
        text = drawing.file_of(one.drawings, f"{one.loss}: curves", "svg").decode()
        assert text.startswith("<?xml") and f"{one.loss}: curves" in text and colour in text
        assert "var(" not in text and drawing.PAGE.ink not in text and ">rejected<" in text
        assert ">margin, nats<" in text  # every panel is named


def test_a_png_is_a_picture_and_equal_drawings_give_equal_files(drawn: list[figures.LossCurves]) -> None:
    first, second = (drawing.file_of(drawn[0].drawings, "dpo", "png") for _ in range(2))
    assert first.startswith(b"\x89PNG") and first == second
