"""The fields of the reports: each shows a column that there is, in a style that fits its unit."""

import pytest

from reports.content import fields
from reports.text import numbers
from results.schema.row import BY_SOURCE

SHOWN = {
    field.column: field
    for field in (*fields.MEASURES, *fields.DETAILS, *fields.COMPLETIONS, *fields.HEADLINE, fields.SEEDS, fields.ROLE)
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_field_shows_a_declared_column_or_one_that_a_report_makes(name: str) -> None:
    assert (name in numbers.COLUMNS) != (name in numbers.MADE)


@pytest.mark.parametrize("name", [name for name in SHOWN if name in numbers.COLUMNS])
def test_text_is_shown_as_text_and_a_share_as_a_share(name: str) -> None:
    column, style = numbers.COLUMNS[name], SHOWN[name].style
    assert (column.dtype == "str") == (style == "text")
    if column.unit == "share":
        assert style in ("share", "change")


def test_a_field_with_an_error_has_that_column() -> None:
    wanting = [field.column for field in SHOWN.values() if field.error and f"{field.column}_se" not in numbers.COLUMNS]
    assert wanting == []


def test_the_table_that_comes_first_holds_no_column_twice_and_no_cost() -> None:
    columns = [field.column for field in fields.HEADLINE]
    assert len(set(columns)) == len(columns) and "train_seconds" not in columns
    assert columns[:2] == ["preference_accuracy", "interval"]


def test_headings_on_a_terminal_have_at_most_three_lines() -> None:
    assert max(field.short.count("\n") for field in SHOWN.values()) == 2


def test_by_source_shows_what_is_measured_by_source() -> None:
    assert tuple(column for column, _, _ in fields.BY_SOURCE) == BY_SOURCE
