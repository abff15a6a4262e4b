"""Which columns follow from which table of a cell: no column that a row lacks, and none from two tables."""

from itertools import combinations

import pytest

from results.schema import from_tables
from results.schema.row import ROW_COLUMNS, names

TABLES = {name: value for name, value in vars(from_tables).items() if name.startswith("FROM_")}


def test_six_sets_of_columns_follow_from_tables():
    assert set(TABLES) == {"FROM_PAIRS", "FROM_VALIDATION", "FROM_START", "FROM_CURVE", "FROM_ANSWERS"} | {
        "FROM_SOME_ANSWERS"
    }


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_a_table_is_a_column_of_the_row(table):
    assert TABLES[table] <= set(names(ROW_COLUMNS))


@pytest.mark.parametrize("pair", list(combinations(TABLES, 2)), ids=" ".join)
def test_no_column_follows_from_two_tables(pair):
    first, second = pair
    assert not TABLES[first] & TABLES[second]


def test_a_pair_table_gives_the_measures_of_pairs_and_the_steps():
    assert {"steps", "preference_accuracy", "margin", "chosen_logp_drift"} <= from_tables.FROM_PAIRS
    assert "loss" not in from_tables.FROM_PAIRS and "seed" not in from_tables.FROM_PAIRS


def test_validation_rows_give_the_accuracy_its_error_and_where_it_began():
    assert from_tables.FROM_VALIDATION == {
        "validation_preference_accuracy",
        "validation_preference_accuracy_se",
        "validation_preference_accuracy_at_start",
    }


def test_a_gold_reward_and_kl_have_an_error_each():
    values = {"kl", "gold_reward", "gold_reward_reference", "gold_reward_gain"}
    assert from_tables.FROM_SOME_ANSWERS == values | {f"{name}_se" for name in values}
