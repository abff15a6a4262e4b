"""Orca pairs: a system message where there is one, answers as they are written, dirty rows counted."""

import json

import pytest

import suites
from suites import Message, SuiteError

ROW = {"system": "Be brief.", "question": "Tea?", "chosen": "Yes.", "rejected": "No."}


def load(folder, rows):
    path = folder / "orca_rlhf.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return suites.load("orca-dpo-pairs", {"path": str(path)})


def test_the_large_models_answer_is_chosen_after_system_and_question(tmp_path):
    (pair,) = load(tmp_path, [{**ROW, "chosen": " Yes.\n"}]).rows
    assert pair.prompt == (Message("system", "Be brief."), Message("user", "Tea?"))
    assert (pair.chosen, pair.rejected) == (" Yes.\n", "No.")
    assert (pair.score_chosen, pair.score_rejected, pair.agreement) == (None, None, None)


def test_a_file_without_splits_is_placed_by_the_question_and_not_by_the_system_message(tmp_path):
    rows = [{**ROW, "system": text, "chosen": f"Yes {text}"} for text in ("", "Be brief.", "Be kind.")]
    pairs = load(tmp_path, rows).rows
    assert {(pair.cluster, pair.split) for pair in pairs} == {(suites.cluster_of("Tea?"), suites.split_of("Tea?"))}


def test_dirty_rows_are_counted_by_their_rule(tmp_path):
    wrong = ({"question": " "}, {"chosen": None}, {"system": 5}, {"chosen": "No. "}, {"rejected": ""})
    suite = load(tmp_path, [ROW, *({**ROW, **one} for one in wrong)])
    assert dict(suite.dropped) == {"empty_prompt": 1, "malformed": 2, "identical": 1, "empty_side": 1}


def test_a_file_without_the_question_is_refused(tmp_path):
    with pytest.raises(SuiteError, match=r"needed: system, question, chosen, rejected \(orca\)"):
        load(tmp_path, [{key: ROW[key] for key in ("system", "chosen", "rejected")}])
