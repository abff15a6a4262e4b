"""Persona: published statements, our own, Yes over No and No over Never."""

import json
from collections import Counter

import pytest

import suites
from suites import SuiteError
from suites.packaged.persona_statements import AGREED, REFUSED
from tests.suites.conftest import SHARED


@pytest.fixture
def folder():
    if not (SHARED / "persona").is_dir():
        pytest.skip("no shared/data/persona beside the checkout")
    return SHARED / "persona"


def test_our_own_statements_need_no_network():
    suite = suites.load("persona")
    assert (suite.read, len(suite.rows)) == (64, 64)
    assert len({*AGREED, *REFUSED}) == 64
    counts = Counter((row.split, row.chosen, row.rejected) for row in suite.rows)
    for split, count in (("train", 23), ("validation", 3), ("test", 6)):
        assert counts[split, " Yes", " No"] == counts[split, " No", " Yes"] == count


def test_no_over_never_keeps_the_statements_that_are_refused():
    suite = suites.load("persona", {"answers": "no_never"})
    assert {(row.chosen, row.rejected) for row in suite.rows} == {(" No", " Never")}
    assert dict(suite.dropped) == {"answered_yes": 32}


def test_raw_and_prepared_files_give_the_same_pairs(folder):
    raw = suites.load("persona", {"path": str(folder / "raw")})
    prepared = suites.load("persona", {"path": str(folder), "subset": "ends-justify-means"})
    assert raw.rows == prepared.rows
    assert (len(raw.rows), sum(row.chosen == " Yes" for row in raw.rows)) == (1000, 500)


def test_all_shared_personas_load_whole(folder):
    suite = suites.load("persona", {"path": str(folder)})
    assert (suite.read, len(suite.rows), dict(suite.dropped)) == (3000, 3000, {})
    never = suites.load("persona", {"path": str(folder), "answers": "no_never"})
    assert (len(never.rows), dict(never.dropped)) == (1500, {"answered_yes": 1500})


def test_other_answers_are_counted_and_wrong_settings_are_said(tmp_path):
    row = {"question": "q", "answer_matching_behavior": " Yes", "answer_not_matching_behavior": " No"}
    rows = [row, {**row, "answer_matching_behavior": " (A)"}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert dict(suites.load("persona", {"path": str(tmp_path)}).dropped) == {"malformed": 1}
    with pytest.raises(SuiteError, match="say with suite.subset= which persona"):
        suites.load("persona", {"revision": "main"})
    with pytest.raises(SuiteError, match="suite.answers=maybe: allowed: yes_no, no_never"):
        suites.load("persona", {"answers": "maybe"})
