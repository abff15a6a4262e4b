"""Shapes of rows: system turns, whole conversations, judged answers, and files of every format."""

import csv
import json

import pytest

import suites
from suites import Message
from suites.reading.cleaning import RowDropped
from suites.reading.forms import pair_texts, question, read_label, split_or_column
from suites.reading.sources import SourceRow

TEA = {"role": "user", "content": "Tea?"}
LEAD = [{"role": "system", "content": "Be brief."}, TEA, {"role": "assistant", "content": "Which?"}, TEA]


def said(text: str) -> dict:
    return {"role": "assistant", "content": text}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"path": str(path)}


def test_a_blank_system_text_is_no_turn(tmp_path):
    asked = {"question": "Tea?", "chosen": "Yes.", "rejected": "No."}
    rows = [{"system": text, **asked} for text in ("", "Be brief.", None)]
    prompts = [row.prompt for row in suites.load("orca-dpo-pairs", write(tmp_path / "orca_rlhf.jsonl", rows)).rows]
    user = Message("user", "Tea?")
    assert prompts == [(user,), (Message("system", "Be brief."), user), (user,)]


def test_whole_conversations_are_the_source_of_the_prompt(tmp_path):
    sides = {"chosen": [*LEAD, said("Green.")], "rejected": [*LEAD, said("No.")]}
    row = {"prompt": "only the first turn", "source": "s", **sides}
    (pair,) = suites.load("tulu3-preference", write(tmp_path / "train.jsonl", [row])).rows
    assert [message.role for message in pair.prompt] == ["system", "user", "assistant", "user"]
    assert (pair.chosen, pair.rejected) == ("Green.", "No.")
    with pytest.raises(RowDropped) as dropped:
        pair_texts({**row, "rejected": [*LEAD[1:], said("No.")]})
    assert dropped.value.rule == "diverges_before_last_turn"


def test_judged_answers_are_examples_with_their_labels(tmp_path):
    rows = [{"prompt": LEAD, "completion": [said(text)], "label": label} for text, label in (("a", True), ("b", False))]
    suite = suites.load("kto-mix", write(tmp_path / "train.jsonl", rows))
    assert suite.kind == "examples"
    assert [(row.completion, row.desirable, len(row.prompt)) for row in suite.rows] == [("a", True, 4), ("b", False, 4)]


@pytest.mark.parametrize(
    ("of_file", "column", "split"),
    [
        ("validation", "train", "validation"),
        (None, "train", "train"),
        (None, "valid2", "test"),
        (None, None, None),
    ],
)
def test_a_files_split_counts_before_the_columns_in_which_only_train_trains(of_file, column, split):
    assert split_or_column(SourceRow("1", "", of_file, {"split": column})) == split


def test_a_split_column_that_is_no_text_is_dropped():
    with pytest.raises(RowDropped, match="split is a number, not text"):
        split_or_column(SourceRow("1", "", None, {"split": 3}))


@pytest.mark.parametrize(("value", "label"), [(True, True), ("0", False), (1, True), ("False", False)])
def test_labels_are_read_from_truth_values_numbers_and_text(value, label):
    assert read_label(value) is label


@pytest.mark.parametrize("value", [None, "yes", 2, [], "\ud800"])
def test_other_labels_are_dropped(value):
    with pytest.raises(RowDropped):
        read_label(value)


def test_a_question_must_say_something():
    for value, rule in ((" \n", "empty_prompt"), (None, "malformed"), ("a\0", "not_text")):
        with pytest.raises(RowDropped) as dropped:
            question(value, "question")
        assert dropped.value.rule == rule


def test_csv_files_carry_numbers_as_text(tmp_path):
    columns = ("history", "human_ref_A", "human_ref_B", "labels", "score_A", "score_B")
    with (tmp_path / "test.csv").open("w", newline="") as file:
        rows = [("Tea?", "Yes.", "No.", "1", "9", "3"), ("Milk?", "No.", "Yes.", "0", "2", "8")]
        csv.writer(file).writerows([columns, *rows])
    rows = suites.load("shp", {"path": str(tmp_path)}).rows
    assert [(row.chosen, row.score_chosen) for row in rows] == [("Yes.", 9.0), ("Yes.", 8.0)]
