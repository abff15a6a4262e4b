"""What an earlier version left behind goes on: a runs folder of version 0.1 (NUMERICS 7) reads, reports and continues.

`tests/golden/` was written by commit 7d77b93, on one thread of a CPU in fp32, by the command below.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

import reports
import results
from harness import __main__ as door
from results.schema.row import ROW_COLUMNS

GOLDEN = Path(__file__).parent / "golden"
COMMAND = (
    "suite=pairs.jsonl model=tiny losses=dpo,kto seeds=0,1,2 train_pairs=32 eval_pairs=12 evals=2 generate=3 "
    "max_new_tokens=8 judge=length refusal=rule precision=fp32 device=cpu threads=1"
).split()

# What a report calls a thing, then and now: old text -> new text, longest first. Columns and keys keep their names.
WORDS: dict[str, str] = {}


def in_today_s_words(text: str) -> str:
    for old in sorted(WORDS, key=len, reverse=True):
        text = text.replace(old, WORDS[old])
    return text


@pytest.fixture
def earlier(tmp_path, monkeypatch) -> Path:
    """A copy of the folder, with the suite's file beside it, as the current directory."""
    shutil.copytree(GOLDEN / "runs", tmp_path / "runs")
    shutil.copy(GOLDEN / "pairs.jsonl", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path / "runs" / "pairs"


def stored(folder: Path) -> dict[str, dict]:
    return {row["cell"]: row for row in (json.loads(p.read_text()) for p in folder.glob("*/row.json"))}


def test_every_value_of_a_stored_row_reads_as_it_was_written(earlier):
    runs = results.read(earlier).set_index("cell")
    known = {column.name for column in ROW_COLUMNS}
    for cell, row in stored(earlier).items():
        for name, value in row.items():
            if name in known and name != "cell" and not isinstance(value, (dict, list)):
                read = runs.at[cell, name]
                assert (value is None and pd.isna(read)) or read == value, f"{cell}: {name}"


def test_pairs_and_curves_of_every_cell_are_there(earlier):
    pairs, curves = results.pairs(earlier), results.curves(earlier)
    assert pairs.groupby("cell").size().eq(12).all() and pairs["cell"].nunique() == 10
    assert curves.groupby("cell").size().eq(2).all() and curves["cell"].nunique() == 9


def test_the_same_command_trains_nothing_and_changes_no_file(earlier, monkeypatch):
    monkeypatch.setattr("harness.cells.cell.train", lambda *_, **__: pytest.fail("a finished cell was trained again"))
    before = {path: path.read_bytes() for path in earlier.glob("*/*") if path.is_file()}
    assert door.main(["run", *COMMAND, "workers=0"]) == 0
    assert {path: path.read_bytes() for path in earlier.glob("*/*") if path.is_file()} == before


@pytest.mark.slow
def test_one_more_loss_trains_that_loss_alone_under_the_same_protocol(earlier):
    before = stored(earlier)
    words = [word.replace("dpo,kto", "dpo,kto,ipo") for word in COMMAND]
    assert door.main(["run", *words, "workers=0"]) == 0
    after = stored(earlier)
    assert {row["loss"] for cell, row in after.items() if cell not in before} == {"ipo"}
    assert len(after) == len(before) + 3 and len({row["protocol"] for row in after.values()}) == 1


def test_the_report_says_the_same_in_today_s_words(earlier):
    reports.write(earlier, command="python -m harness run " + " ".join(COMMAND))
    written = (earlier / "report.md").read_text(encoding="utf-8")
    assert written.splitlines() == in_today_s_words((GOLDEN / "report.md").read_text(encoding="utf-8")).splitlines()


def test_the_terminal_says_the_same_in_today_s_words(earlier):
    text = reports.terminal(results.read(earlier), folder=earlier)
    known = in_today_s_words((GOLDEN / "terminal.txt").read_text(encoding="utf-8")).partition("\n\nreport: ")[0]
    assert re.sub(r"\s+", " ", text).strip() == re.sub(r"\s+", " ", known).strip()
