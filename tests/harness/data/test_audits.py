"""The audit with what tokens show: beside the cells, in the report, and never a word of the data."""

from __future__ import annotations

import json

import pytest

import results
from harness.cells.inputs import rows_to_train_on
from harness.data.audits import audit_lines, audited, record
from harness.options.cards import make
from harness.progress import silent
from tests.harness.conftest import pair_rows, write_jsonl


@pytest.fixture
def data(source, tokenizer, tmp_path):
    rows = pair_rows(200)
    rows[0]["prompt"] *= 20
    rows[1]["chosen"] *= 20
    rows[2]["rejected"] *= 20
    path = write_jsonl(tmp_path / "pairs.jsonl", rows)
    options = make({"suite": str(path), "losses": ["dpo"], "max_tokens": 128})
    return rows_to_train_on(options, source, tokenizer, silent())


def test_rows_beyond_the_limit_are_told_apart_by_what_was_long(data):
    assert data.long_sides == {"prompt": 1, "chosen": 1, "rejected": 1}
    shown = "\n".join(audit_lines(data, audited(data, silent())))
    assert "beyond the limit because of: chosen 1, prompt 1, rejected 1" in shown
    assert "within 128 tokens (plain template)" in shown and "3 dropped as overlong" in shown


def test_pairs_whose_completions_a_cut_makes_the_same_are_told_apart(source, tokenizer, tmp_path):
    rows = pair_rows(200)
    rows[0] |= {"chosen": "same " * 50 + "good", "rejected": "same " * 50 + "bad"}
    rows[1]["chosen"] *= 20
    path = write_jsonl(tmp_path / "pairs.jsonl", rows)
    options = make({"suite": str(path), "losses": ["dpo"], "max_tokens": 128, "overlong": "truncate"})
    data = rows_to_train_on(options, source, tokenizer, silent())
    shown = "\n".join(audit_lines(data, audited(data, silent())))
    assert "0 dropped as overlong, 1 cut, 1 dropped because the cut made their completions the same" in shown


def test_the_record_is_strict_json_with_the_digests_of_the_rows(data):
    kept = json.loads(json.dumps(record(data, audited(data, silent())), allow_nan=False))
    assert kept["kept"] == 200 and kept["tokens"]["training_rows"] == len(data.pool)
    assert kept["digests"]["training"] == data.pool_digest
    assert kept["digests"]["test"] == data.digest(data.test)
    assert ["dropped", "none"] in kept["facts"] and any("fewer than 5,000" in line for line in kept["advice"])
    assert "good" not in json.dumps(kept)  # a word of every chosen completion


def test_a_run_leaves_its_audit_beside_the_cells_and_in_the_reports(command, tmp_path):
    assert command("losses=dpo", "controls=false", report=True).code == 0
    place = tmp_path / "runs" / "pairs"
    (protocol,) = set(results.read(place)["protocol"])
    assert set(results.audits(place)) == set(results.audits(tmp_path / "runs")) == {protocol}
    for name in ("report.md", "report.html"):
        text = (place / name).read_text()
        assert "120 pairs kept of 120 read" in text and "fewer than 5,000 pairs" in text
    file = place / f"audit-{protocol}.json"
    written = file.stat().st_mtime_ns
    assert not any("auditing" in line for line in command("losses=dpo", "controls=false").lines)
    assert file.stat().st_mtime_ns == written
