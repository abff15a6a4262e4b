"""HelpSteer3: the sign of the preference, ties, languages, votes."""

import json

import pytest

import suites
from suites import SuiteError
from tests.suites.samples import SAMPLES

ROWS = next(sample.rows for sample in SAMPLES if sample.suite == "helpsteer3")


def load(folder, rows, **settings):
    path = folder / "preference" / "train.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return suites.load("helpsteer3", {"path": str(folder), **settings})


def test_negative_prefers_response1_and_positive_response2(tmp_path):
    first, second = load(tmp_path, ROWS).rows
    assert (first.chosen, first.score_chosen - first.score_rejected) == (ROWS[0]["response1"], 2)
    assert (second.chosen, second.score_chosen - second.score_rejected) == ("Käse, bitte.", 3)
    assert (first.agreement, second.agreement) == (2 / 3, 1.0)
    assert [message.role for message in first.prompt] == ["system", "user"]


def test_zero_is_a_tie(tmp_path):
    rows = [*ROWS, {**ROWS[0], "overall_preference": 0}]
    assert dict(load(tmp_path, rows).dropped) == {"tie": 1}
    kept = load(tmp_path, rows, ties="half")
    assert (len(kept.rows), dict(kept.dropped)) == (3, {})
    assert kept.rows[2].score_chosen == kept.rows[2].score_rejected == 0


def test_one_language_or_domain_can_be_asked_for(tmp_path):
    suite = load(tmp_path, ROWS, language="german")
    assert (len(suite.rows), dict(suite.dropped)) == (1, {"other_language": 1})
    with pytest.raises(SuiteError, match="other_domain 2"):
        load(tmp_path, ROWS, domain="code")


def test_contexts_that_nobody_can_answer_are_counted(tmp_path):
    answered = [*ROWS[0]["context"], {"role": "assistant", "content": "x"}]
    rows = [*ROWS, {**ROWS[0], "context": []}, {**ROWS[0], "context": answered}, {**ROWS[0], "context": None}]
    assert dict(load(tmp_path, rows).dropped) == {"empty_prompt": 2, "malformed": 1}
