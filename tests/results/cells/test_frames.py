"""Tables in their declared form: types, bytes, and what JSON has no form for."""

import math

import numpy as np
import pandas as pd
import pytest

from results.cells import frames
from results.schema.column import count, flag, real, text

COLUMNS = (text("name", "m"), count("tokens", "tokens", "m"), real("value", "nats", "m"), flag("cut", "m"))


@pytest.fixture
def table() -> pd.DataFrame:
    """Two rows in another order than the declared one, with a further column and missing values."""
    return pd.DataFrame(
        {"extra": ["x", "y"], "value": [1.5, None], "tokens": [3, None], "cut": [True, None], "name": ["a", "b"]},
        index=[7, 9],
    )


def test_declared_columns_come_first_in_their_types_and_further_ones_follow(table):
    typed = frames.typed_frame(table, COLUMNS, "toy")
    assert list(typed.columns) == ["name", "tokens", "value", "cut", "extra"] and list(typed.index) == [0, 1]
    assert [str(typed[column.name].dtype) for column in COLUMNS] == [column.dtype for column in COLUMNS]
    assert typed["tokens"].isna().tolist() == [False, True]


def test_a_table_without_a_column_or_with_another_type_is_refused(table):
    with pytest.raises(ValueError, match="The toy table lacks name, cut; found: extra, value, tokens"):
        frames.typed_frame(table.drop(columns=["name", "cut"]), COLUMNS, "toy")
    with pytest.raises(ValueError, match="tokens of the toy table must be Int64"):
        frames.typed_frame(table.assign(tokens=["many", "few"]), COLUMNS, "toy")


def test_a_stored_table_comes_back_and_equal_tables_give_equal_bytes(table, tmp_path):
    typed = frames.typed_frame(table, COLUMNS, "toy")
    content = frames.parquet_bytes(typed, COLUMNS)
    assert content == frames.parquet_bytes(frames.typed_frame(table.iloc[:, ::-1], COLUMNS, "toy"), COLUMNS)
    (tmp_path / "toy.parquet").write_bytes(content)
    pd.testing.assert_frame_equal(frames.read_parquet(tmp_path / "toy.parquet", COLUMNS, "toy"), typed)


def test_json_is_strict_and_has_null_for_what_is_no_number():
    value = {"b": (1, np.int64(2)), "a": [math.nan, math.inf, pd.NA, None], "c": np.float64(0.5), "d": np.bool_(True)}
    assert frames.plain(value) == {"b": [1, 2], "a": [None] * 4, "c": 0.5, "d": True}
    assert frames.json_text({"b": 1, "a": math.nan}) == '{\n  "b": 1,\n  "a": null\n}\n'
    with pytest.raises(TypeError, match="a set has no form in JSON"):
        frames.plain({"a": {1}})
    with pytest.raises(TypeError, match="a JSON key must be text, but 1 is a int"):
        frames.plain({1: "a"})


@pytest.mark.parametrize(
    "row",
    [{"tokens": 1.5}, {"tokens": True}, {"value": "much"}, {"cut": 1}, {"name": 3}],
    ids=lambda row: next(iter(row)),
)
def test_a_value_of_another_type_than_its_column_is_refused(row):
    with pytest.raises(ValueError, match=f"{next(iter(row))} is .*, but must be"):
        frames.check_types(row, COLUMNS)


def test_text_may_be_a_mapping_and_a_missing_value_anything():
    frames.check_types({"name": {"beta": 0.1}, "value": 1, "cut": None}, COLUMNS)
    frame = frames.rows_frame([{"name": "a", "more": 1}, {"value": 2.0}], COLUMNS)
    assert list(frame.columns) == ["name", "tokens", "value", "cut", "more"]
    assert frame["tokens"].isna().all() and frame["value"].tolist()[1] == 2.0


def test_rows_are_mappings_in_order_and_cells_stand_apart():
    frame = pd.DataFrame({"cell": ["b", "a", "b"], "value": [1, 2, 3]})
    assert frames.rows_of(frame)[1] == {"cell": "a", "value": 2}
    assert {cell: rows["value"].tolist() for cell, rows in frames.by_cell(frame).items()} == {"b": [1, 3], "a": [2]}
    assert list(frames.by_cell(frame)) == ["b", "a"]
