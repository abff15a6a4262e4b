"""OpenAssistant: trees, flat messages and ready pairs give ranked siblings with the thread above them."""

import json

import pytest

import suites
from suites import SuiteError
from tests.suites.conftest import SHARED
from tests.suites.samples import TREE, flat


def load(folder, rows, **settings):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return suites.load("oasst", {"path": str(path), **settings})


def trees(**changes):
    return [{"message_tree_id": "root", "prompt": {**TREE, **changes}}]


def test_ranked_siblings_are_compared_under_their_whole_thread(tmp_path):
    rows = {row.id: row for row in load(tmp_path, trees()).rows}
    assert set(rows) == {"a/b", "c/d", "c/e", "d/e"}  # f has no rank
    assert (rows["a/b"].chosen, rows["a/b"].score_chosen, rows["a/b"].score_rejected) == ("Yes, tea.", 0.0, -1.0)
    assert (rows["d/e"].chosen, rows["d/e"].rejected) == ("Because.", "So.")
    assert [message.content for message in rows["c/d"].prompt] == ["Tea?", "Yes, tea.", "Why?"]
    assert rows["a/b"].cluster == rows["c/d"].cluster


def test_flat_messages_give_the_same_pairs_in_any_order(tmp_path):
    expected = {row.id: row for row in load(tmp_path, trees()).rows}
    messages = flat(TREE)
    assert {row.id: row for row in load(tmp_path, messages).rows} == expected
    backwards = load(tmp_path, messages[::-1]).rows
    assert {(row.chosen, row.rejected) for row in backwards} == {(r.chosen, r.rejected) for r in expected.values()}


def test_the_best_can_be_compared_with_the_worst_alone(tmp_path):
    pairs = {(row.chosen, row.rejected) for row in load(tmp_path, trees(), answers="best_worst").rows}
    assert pairs == {("Yes, tea.", "No."), ("It is hot.", "So.")}


def test_deleted_and_foreign_replies_take_no_part(tmp_path):
    messages = [{**row, "deleted": row["message_id"] == "a"} for row in flat(TREE)]
    assert {row.id for row in load(tmp_path, messages).rows} == {"c/d", "c/e", "d/e"}
    with pytest.raises(SuiteError, match="none of 0 rows is left"):
        load(tmp_path, messages, language="de")


def test_cut_threads_and_circles_are_counted(tmp_path):
    messages = flat(TREE)
    cut = [row for row in messages if row["message_id"] != "again"]
    assert dict(load(tmp_path, cut).dropped) == {"malformed": 3}
    messages[0]["parent_id"] = "again"  # the root under its own descendant
    with pytest.raises(SuiteError, match="malformed 4"):
        load(tmp_path, messages)
    nameless = [{**row, "message_id": None} if row["message_id"] == "f" else row for row in flat(TREE)]
    assert dict(load(tmp_path, nameless).dropped) == {"malformed": 1}


def test_the_shared_pairs_load_whole():
    if not (SHARED / "oasst").is_dir():
        pytest.skip("no shared/data/oasst beside the checkout")
    suite = suites.load("oasst", {"path": str(SHARED / "oasst")})
    assert (suite.read, len(suite.rows), dict(suite.dropped)) == (754, 754, {})
    assert sum(len(row.prompt) > 1 for row in suite.rows) == 316
    assert all(row.score_chosen > row.score_rejected for row in suite.rows)
    extremes = suites.load("oasst", {"path": str(SHARED / "oasst"), "answers": "best_worst"})
    assert len(extremes.rows) == len({row.prompt for row in suite.rows}) == 212
