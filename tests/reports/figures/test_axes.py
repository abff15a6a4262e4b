"""Accuracy against an axis as a drawing."""

import re

import pandas
import pytest

from reports.figures import axes


@pytest.fixture
def points() -> pandas.DataFrame:
    lines = [("dpo", "dpo beta 0.1"), ("dpo", "dpo beta 0.5"), ("sft", "sft")]
    return pandas.DataFrame(
        {
            "loss": loss,
            "control": loss == "sft",
            "setting": setting,
            "value": value,
            "seeds": 1,
            "preference_accuracy": 0.6 - value / 10,
            "preference_accuracy_se": 0.03,
        }
        for loss, setting in lines
        for value in (0.0, 0.2)
    )


COLOURS = {"dpo": "0", "sft": "control"}


def test_a_line_takes_the_colour_of_its_loss_and_the_words_of_its_setting(points) -> None:
    drawing = axes.axis_drawing(points, "label noise", COLOURS, "p")
    assert drawing.keys == ("dpo beta 0.1", "dpo beta 0.5", "sft")
    assert "var(--c0)" in drawing.svg and "var(--ccontrol)" in drawing.svg and "currentColor" in drawing.svg
    assert not re.search(r"(?:stroke|fill): #", drawing.svg)
    assert "label noise" in drawing.svg and "http" not in drawing.svg


def test_settings_of_one_loss_differ_in_their_dashes() -> None:
    assert axes.dashes_of(["dpo", "dpo", "sft", "dpo"]) == [0, 1, 0, 2]


def test_equal_points_give_equal_drawings_and_a_wide_axis_can_be_drawn(points) -> None:
    first, second = (axes.axis_drawing(points, "label noise", COLOURS, "p") for _ in range(2))
    assert first == second
    wide = points.assign(value=points["value"].map({0.0: 64.0, 0.2: 4096.0}))
    assert "4096" in axes.axis_drawing(wide, "train pairs", COLOURS, "p").svg


def test_a_missing_error_draws_a_point_without_a_bar(points) -> None:
    drawing = axes.axis_drawing(points.assign(preference_accuracy_se=float("nan")), "x", COLOURS, "p")
    assert "nan" not in drawing.svg.lower()
