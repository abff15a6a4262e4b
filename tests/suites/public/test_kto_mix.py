"""KTO mix: judged answers from messages, dirty rows counted, pairs asked for in vain."""

import json

import pytest

import suites
from suites import Example, Message, SuiteError

ASKED = [{"role": "user", "content": "Tea?"}]


def row(text: str, label: object, prompt: object = ASKED) -> dict:
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": text}], "label": label}


def load(folder, rows, name="train.jsonl"):
    (folder / name).write_text("".join(json.dumps(one) + "\n" for one in rows))
    return suites.load("kto-mix", {"path": str(folder)})


def test_each_answer_stands_alone_with_its_label(tmp_path):
    suite = load(tmp_path, [row("Yes.", True), row("No.", False)])
    assert suite.kind == "examples"
    assert all(isinstance(one, Example) and one.prompt == (Message("user", "Tea?"),) for one in suite.rows)
    assert [(one.id, one.completion, one.desirable) for one in suite.rows] == [
        ("train/0", "Yes.", True),
        ("train/1", "No.", False),
    ]


def test_the_files_names_are_the_splits(tmp_path):
    load(tmp_path, [row("Yes.", True)])
    suite = load(tmp_path, [row("No.", False, "Milk?")], "test.jsonl")
    assert {one.id: one.split for one in suite.rows}["test/0"] == "test"
    assert {one.id: one.split for one in suite.rows}["train/0"] in ("train", "validation")


def test_dirty_rows_are_counted_by_their_rule(tmp_path):
    dirty = [row(" ", True), row("Yes.", "perhaps"), row("Yes.", True, []), row("Yes.", True, None)]
    suite = load(tmp_path, [row("Yes.", True), *dirty])
    assert dict(suite.dropped) == {"empty_side": 1, "malformed": 1, "empty_prompt": 2}


def test_a_file_of_pairs_is_refused_with_the_columns_needed(tmp_path):
    with pytest.raises(SuiteError, match=r"needed: prompt, completion, label \(unpaired\)"):
        load(tmp_path, [{"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."}])
