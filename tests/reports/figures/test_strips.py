"""Strips of accuracies as drawings."""

import pandas
import pytest

from reports.figures import strips


def test_the_strips_span_whole_tenths_around_every_value() -> None:
    rows = pandas.DataFrame({"preference_accuracy": [0.62], "accuracy_chosen_longer": [0.78]})
    low, high = strips.strip_range(rows)
    assert (low, high) == (pytest.approx(0.4), pytest.approx(0.9))


def test_a_strip_places_accuracy_between_its_errors() -> None:
    svg = strips.strip({"preference_accuracy": 0.5, "preference_accuracy_se": 0.1}, (0.0, 1.0))
    assert 'cx="50.0"' in svg
    assert 'd="M41.2 9.0H58.8"' in svg


def test_a_cell_without_accuracy_has_no_strip() -> None:
    assert strips.strip({"preference_accuracy": None}, (0.0, 1.0)) == ""
