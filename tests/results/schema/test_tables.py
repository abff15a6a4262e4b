"""The tables beside a run's own: what they share with each other and with the row."""

import pytest

from results.schema import row, tables

TABLES = {name: value for name, value in vars(tables).items() if name.endswith("_COLUMNS")}


@pytest.mark.parametrize("table", TABLES)
def test_names_are_unique_and_every_column_says_what_it_is(table):
    declared = TABLES[table]
    assert len({column.name for column in declared}) == len(declared)
    assert all(column.unit and column.meaning for column in declared)


def test_answers_and_verdicts_are_joined_on_the_same_keys():
    answers = {column.name: column for column in tables.GENERATION_COLUMNS}
    verdicts = {column.name: column for column in tables.VERDICT_COLUMNS}
    for key in ("prompt_id", "cluster_id"):
        assert answers[key] == verdicts[key]


def test_the_long_form_takes_its_keys_from_the_row_as_they_are():
    added = ("metric", "value", "se", "n", "unit", "better")
    keys = [column for column in tables.LONG_COLUMNS if column.name not in added]
    assert set(keys) <= set(row.ROW_COLUMNS) and len(keys) == len(tables.LONG_COLUMNS) - len(added)


def test_an_interval_has_two_ends_with_one_type():
    for table in TABLES.values():
        columns = {column.name: column for column in table}
        for name in columns:
            if name == "low" or name.endswith("_low"):
                assert columns[name].dtype == columns[name.removesuffix("low") + "high"].dtype == "float64"
