"""HelpSteer2: neighbouring rated answers, graded comparisons, and prompts of several turns."""

import json

import pytest

import suites
from suites.public.helpsteer2 import turns
from suites.reading.cleaning import RowDropped
from tests.suites.samples import SAMPLES

FORMS = {sample.form: sample.rows for sample in SAMPLES if sample.suite == "helpsteer2"}


def load(folder, rows, name="train.jsonl", **settings):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return suites.load("helpsteer2", {"path": str(folder), **settings})


def answer(prompt, text, helpfulness):
    return {"prompt": prompt, "response": text, "helpfulness": helpfulness}


def test_neighbours_with_one_prompt_are_compared_by_helpfulness(tmp_path):
    rows = [answer("p", "a", 1), answer("p", "b", 3), answer("q", "c", 2), answer("q", "d", 2), answer("r", "e", 4)]
    suite = load(tmp_path, rows)
    assert (suite.read, dict(suite.dropped)) == (3, {"tie": 1, "single_answer": 1})
    (row,) = suite.rows
    assert (row.id, row.chosen, row.score_chosen, row.score_rejected) == ("train/0/0-1", "b", 3.0, 1.0)
    assert len(load(tmp_path, rows, ties="half").rows) == 2


def test_three_answers_give_all_pairs_or_the_extremes(tmp_path):
    rows = [answer("p", "a", 1), answer("p", "b", 3), answer("p", "c", 2)]
    assert len(load(tmp_path, rows).rows) == 3
    (row,) = load(tmp_path, rows, answers="best_worst").rows
    assert (row.chosen, row.rejected) == ("b", "a")


def test_the_validation_file_is_the_test_split(tmp_path):
    load(tmp_path, FORMS["rated"][:2])
    suite = load(tmp_path, FORMS["rated"][2:], name="validation.jsonl")
    assert [row.split for row in suite.rows][1] == "test"


def test_negative_strength_prefers_the_first_and_votes_are_counted(tmp_path):
    first, second = load(tmp_path, FORMS["preference"], name="preference.jsonl").rows
    assert (first.chosen, first.score_chosen, first.score_rejected) == ("Yes, tea.", 1.5, -1.5)  # strength -3
    assert (second.chosen, second.score_chosen, second.score_rejected) == ("Yes, coffee.", 0.5, -0.5)  # strength 1
    assert (first.agreement, second.agreement) == (0.5, 1.0)
    assert second.split == "test"


def test_markers_part_the_turns_of_a_prompt():
    text = "Hi<extra_id_1>Assistant\nHello.\n<extra_id_1>User\nTea?\nOr coffee?"
    assert [(one.role, one.content) for one in turns(text)] == [
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("user", "Tea?\nOr coffee?"),
    ]
    with pytest.raises(RowDropped, match="does not end with the user's turn"):
        turns("Hi<extra_id_1>Assistant\nHello.")
