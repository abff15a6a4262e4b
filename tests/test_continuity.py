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
WORDS: dict[str, str] = {
    # the verdict and the notes
    "it is not told from the untrained model": "it is not distinguishable from the untrained model",
    "the test cannot tell from the best": "the test cannot distinguish from the best",
    "Controls are shaded. Own rulers:": "Baselines are shaded. Own rewards:",
    "Own rulers:": "Own rewards:",
    "finished cells, 4 controls": "finished cells, 4 baselines",
    "Answers to 3 prompts after training": "Completions of 3 prompts after training",
    "win rates against the reference's answers": "win rates against the reference's completions",
    "Preferring the longer answer, without": "Preferring the longer completion, without",
    "or samples 1.5 times as long": "or completions 1.5 times as long",
    "against a bias to long answers": "against a bias to long completions",
    # headings
    "sum ratio ± se ↑": "preference accuracy ± se ↑",
    "| mean ratio ↑ |": "| length-normalized accuracy ↑ |",
    "| own ruler ↑ |": "| accuracy under the loss's own reward ↑ |",
    "| own ruler gain ↑ |": "| gain under own reward ↑ |",
    "| own ruler length bias |": "| length bias under own reward |",
    "| own ruler |": "| own reward |",
    "| chosen drift": "| change in chosen log-prob",
    "| rejected drift": "| change in rejected log-prob",
    "| displaced ↓ |": "| became less likely ↓ |",
    "| per token |": "| length-normalized |",
    "### Generated answers": "### Generated completions",
    "### Every cell: answers": "### Every cell: completions",
    "### Every cell: by answer length": "### Every cell: by completion length",
    "### Every cell: log-prob drift": "### Every cell: change in log-prob",
    # what the columns mean
    "of the rejected answer under the policy": "of the rejected completion under the policy",
    "ties one half: one ruler for every loss": "ties one half; the same metric for every loss",
    "pairs with a/nc &gt; d/nr, ties one half: the per-token ruler": (
        "length-normalized accuracy: pairs with a/nc &gt; d/nr, ties one half"
    ),
    "below 0.3 the strength did not act": "below 0.3 beta has no effect",
    "the chosen answers became less likely": "the chosen completions became less likely",
    "alike answers push the chosen one down": "alike completions push the chosen one down",
    "their chosen answer became less likely": "their chosen completion became less likely",
    "where the chosen answer is longer": "where the chosen completion is longer",
    "where the chosen answer is shorter": "where the chosen completion is shorter",
    ": drift times length difference": ": change in log-prob per token times difference in length",
    "samples that the judge prefers": "completions that the judge prefers",
    "when the answers swap places": "when the completions swap places",
    "verdicts that go to the longer answer": "verdicts that go to the longer completion",
    "win-rate of a constant answer": "win-rate of a constant completion",
    "the win-rate of the prompt itself as the answer": "the win-rate of the prompt itself as the completion",
    "an answer that tells the judge what to say": "a completion that instructs the judge what to say",
    "answers that decline their request": "completions that decline their request",
    "the reference's answers to the same prompts": "the reference's completions to the same prompts",
    "mean length of the policy's samples": "mean length of the policy's completions",
    "length of the samples over": "length of the completions over",
    "samples cut at the token limit": "completions cut at the token limit",
    "all word pairs of the samples": "all word pairs of the completions",
    "on the policy's own samples": "on the policy's own completions",
    "mean gold reward of the policy's samples": "mean known reward of the policy's completions",
    "mean gold reward of one of them": "mean known reward of one of them",
    "mean gold reward of the one with": "mean known reward of the one with",
    "mean of the highest gold reward": "mean of the highest known reward",
    "prompts whose answer of highest implicit reward": "prompts whose completion of highest implicit reward",
    "the same of the answer that the judge itself": "the same of the completion that the judge itself",
    "writing the answers, scoring them": "writing the completions, scoring them",
    "the same of writing one answer": "the same of writing one completion",
    # the terminal's headings, whose three lines are read across
    "accuracy   mean    own  chosen   chosen    length   drift     drift    dis-  effect.  train\n"
    "loss  beta    lr  seed      sum ratio  ratio  ruler  longer  shorter  balanced  chosen  rejected  placed     beta"
    "      s": (
        "length- under length became effec- "
        "preference normal- own chosen chosen bal- change change less tive train "
        "loss beta lr seed accuracy ized reward longer shorter anced chosen rejected likely beta s"
    ),
}


def in_today_s_words(text: str) -> str:
    for old in sorted(WORDS, key=len, reverse=True):
        text = text.replace(old, WORDS[old])
    return text


def words_of(text: str) -> list[str]:
    """What stands between blanks; a rule is as long as its column is wide, and counts as one dash."""
    return re.sub(r"-{2,}", "-", text).split()


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
    assert words_of(text) == words_of(known)
