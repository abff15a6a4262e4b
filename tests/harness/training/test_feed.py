"""Feeds: which rows a step sees, a function of seed, epoch and step."""

from __future__ import annotations

import pytest

from harness.data.selection import rank
from harness.data.tokens import Row
from harness.training.feed import RowFeed
from suites.rows import Rows

ROWS = [Row(f"id{i}", f"c{i}", "train", (1, 2), ((i,) * 3, (100 + i,) * 3)) for i in range(50)]


def ids(rows) -> list[str]:
    return [row.id for row in rows]


def test_each_epoch_sees_every_row_once_in_another_order_and_drops_the_partial_batch():
    feed = RowFeed(ROWS, seed=0, epochs=2, batch_size=16)
    plan = feed.batches()
    assert feed.steps == 6 and [batch.step for batch in plan] == list(range(6))
    first, second = [ids([row for batch in plan if batch.epoch == e for row in batch.rows]) for e in (0, 1)]
    assert len(set(first)) == len(first) == 48
    assert first != second


def test_the_order_of_an_epoch_is_that_of_hashes_of_ids_with_seed_and_epoch():
    feed = RowFeed(ROWS, seed=3, epochs=2, batch_size=20)
    expected = sorted(ROWS, key=rank("order", 3, 1))
    assert list(feed.batch(2).rows) == expected[:20] and list(feed.batch(3).rows) == expected[20:40]


def test_a_batch_depends_neither_on_those_before_it_nor_on_how_the_rows_are_given():
    plan = RowFeed(ROWS, seed=3, epochs=3, batch_size=8).batches()
    late = RowFeed(ROWS[::-1], seed=3, epochs=3, batch_size=8)
    assert [late.batch(step) for step in (13, 2, 13)] == [plan[13], plan[2], plan[13]]


def test_rows_in_columns_are_batched_like_a_list_without_being_made():
    columns = Rows.of(ROWS, Row)
    plans = [RowFeed(rows, seed=1, epochs=2, batch_size=16).batches() for rows in (columns, ROWS)]
    assert [list(batch.rows) for batch in plans[0]] == [batch.rows for batch in plans[1]]
    assert all(batch.rows.table is columns.table for batch in plans[0])


@pytest.mark.parametrize("step", [-1, 6])
def test_a_step_that_is_none_of_the_run_is_refused(step):
    with pytest.raises(IndexError, match="among the 6 steps, 0 to 5"):
        RowFeed(ROWS, seed=0, epochs=2, batch_size=16).batch(step)


def test_fewer_rows_than_a_batch_make_no_step():
    assert RowFeed(ROWS[:7], seed=0, epochs=5, batch_size=8).batches() == []
