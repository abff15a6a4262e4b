"""A stored cell is trained again from its recorded command and must come out bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.progress import silent
from harness.verbs.rerun import _words, rerun
from results.cells import store
from results.schema.row import SINCE_LATER
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
    (cell / "row.json").write_text(json.dumps({name: value for name, value in row.items() if name not in SINCE_LATER}))
    assert rerun(cell, [], silent()).findings == []  # a row that was stored before these columns were
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


ROW = {"threads": 2, "micro_batch": None, "micro_tokens": 900, "layout": "packed", "precision": "fp32", "device": "cpu"}
HERE = ["store=false", "workers=0", "out=again", "device=cpu"]


def words(command: str, *changed: str, **row: object) -> list[str]:
    """The words of a rerun of a row that this command made."""
    return _words(ROW | row | {"command": f"python -m harness {command}"}, Path("cell"), changed, Path("again"))


def test_what_decides_the_cell_is_as_recorded_and_what_auto_came_to_is_the_rows():
    kept = "suite=x losses=dpo dpo.beta=1 suite.path=d suite.label_noise=0.1 epochs=2 evals=2 similarity=ches top_p=0.9"
    computed = ["precision=fp32", "threads=2", "layout=packed", "micro_tokens=900"]
    found = words(
        f"run {kept} activation_checkpointing=true precision=auto layout=plain micro_tokens=8 micro_batch=auto"
    )
    assert sorted(found) == sorted(
        [*kept.split(), "activation_checkpointing=true", "micro_batch=auto", *computed, *HERE]
    )


def test_places_and_measurements_are_left_out_with_what_belongs_to_them():
    places = "out=a store=true engine=ray ray.cpus=2 workers=3 save=all retry=failed checkpoint_steps=4 shard=true"
    added = "judge=length judge.retries=2 generate=8 rerank=4 prompts=p.csv lm_eval=everyday refusal=rule"
    assert words(f"run suite=x losses=dpo device=cuda {places} {added}") == words("run suite=x losses=dpo")


def test_a_gpu_is_found_again_by_itself():
    assert not [word for word in words("run suite=x device=cuda:3", device="NVIDIA H100") if word.startswith("device=")]


def test_changed_words_win_over_recorded_ones_and_over_the_rows():
    found = words("run suite=x suite.path=old threads=1", "suite.path=new", "threads=8", "device=cuda")
    assert {"suite.path=new", "threads=8", "device=cuda"} <= set(found)
    assert not {"suite.path=old", "threads=1", "threads=2", "device=cpu"} & set(found)


def test_an_external_checkpoint_gets_only_words_that_evaluate_knows():
    found = words("evaluate model=m reference=r suite=x loss=dpo seeds=1 judge=length", precision=None)
    assert sorted(found) == sorted(
        ["model=m", "reference=r", "suite=x", "loss=dpo", "seeds=1", "threads=2", "layout=packed", *HERE]
    )
