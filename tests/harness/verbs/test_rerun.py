"""A stored cell is trained again from its recorded command and must come out bit for bit."""

from __future__ import annotations

import json

import pytest

from harness.errors import UsageError
from harness.progress import silent
from harness.verbs.rerun import rerun
from results.cells import store
from tests.harness.conftest import pair_rows, write_jsonl


@pytest.fixture
def cell(command, tmp_path):
    """A finished cell of a sweep over a sum of losses, with evaluations on the way."""
    command("losses=dpo+0.2*sft", "dpo+0.2*sft.beta=0.1,0.5", "controls=false", "evals=2", "micro_batch=2")
    return sorted((tmp_path / "runs" / "pairs").glob("dpo_plus*"))[0]


def test_a_rerun_is_equal_and_one_changed_bit_a_changed_row_and_moved_data_are_found(cell, tmp_path):
    again = rerun(cell, [], silent())
    assert again.findings == [] and "equal to the last bit" in again.notes[0]
    row = store.read_row(cell)
    launched = {"processes": 2, "command": f"{row['command']} shard=true", "win_rate": 0.6}
    (cell / "row.json").write_text(json.dumps(row | launched | {"margin": row["margin"] * (1 + 1e-15)}))
    again = rerun(cell, [], silent())
    (finding,) = again.findings
    assert "margin is" in finding.what
    assert again.notes == ["stored by 2 processes, run again by one: the last bits may differ"]
    write_jsonl(tmp_path / "pairs.jsonl", [row | {"chosen": row["chosen"] + " indeed"} for row in pair_rows(120)])
    (finding,) = rerun(cell, [], silent()).findings
    assert "leads to another cell now" in finding.what and "rows was" in finding.what


def test_what_cannot_be_repeated_is_said(cell):
    row = store.read_row(cell)
    (cell / "row.json").write_text(json.dumps(row | {"command": None}))
    with pytest.raises(UsageError, match="records no command"):
        rerun(cell, [], silent())
    (cell / "row.json").write_text(json.dumps(row | {"status": "failed"}))
    with pytest.raises(UsageError, match="nothing to compare"):
        rerun(cell, [], silent())
