"""Tulu 3: whole conversations with two answers; the prompt column is not read."""

import json

import pytest

import suites
from suites import Message, SuiteError

ASKED = [{"role": "user", "content": "Tea?"}]


def side(text: str, lead: list[dict] = ASKED) -> list[dict]:
    return [*lead, {"role": "assistant", "content": text}]


ROW = {"prompt": "Tea?", "source": "somewhere", "chosen": side("Yes."), "rejected": side("No.")}


def load(folder, rows):
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return suites.load("tulu3-preference", {"path": str(folder)})


def test_the_conversations_and_not_the_column_are_the_prompt(tmp_path):
    (pair,) = load(tmp_path, [{**ROW, "prompt": "another question"}]).rows
    assert pair.prompt == (Message("user", "Tea?"),)
    assert (pair.id, pair.chosen, pair.rejected) == ("train/0", "Yes.", "No.")
    assert pair.source == ""  # the column of that name is no part of a mixture


def test_a_lone_train_file_is_cut_by_the_first_turn(tmp_path):
    turns = [[{"role": "user", "content": f"turn {number}"}] for number in range(60)]
    rows = load(tmp_path, [{**ROW, "chosen": side("Yes.", turn), "rejected": side("No.", turn)} for turn in turns]).rows
    assert {row.split for row in rows} == {"train", "validation", "test"}
    assert all(row.split == suites.split_of(row.prompt[0].content) for row in rows)


def test_sides_that_part_early_or_end_with_the_user_are_counted(tmp_path):
    other = side("No.", [{"role": "user", "content": "Milk?"}])
    wrong = ({"rejected": other}, {"rejected": ASKED}, {"rejected": side("Yes.")}, {"chosen": []})
    suite = load(tmp_path, [ROW, *({**ROW, **one} for one in wrong)])
    assert dict(suite.dropped) == {"diverges_before_last_turn": 1, "malformed": 1, "identical": 1, "empty_side": 1}


def test_the_source_column_tells_the_set_from_others(tmp_path):
    with pytest.raises(SuiteError, match=r"needed: prompt, chosen, rejected, source \(tulu3\)"):
        load(tmp_path, [{key: ROW[key] for key in ("prompt", "chosen", "rejected")}])
