"""Completions after training: asked once, kept beside the row, added without training where that can be."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

import harness.cells.cell
import results
from harness.errors import UsageError
from harness.evaluation.completions import GENERATIONS, read_completions
from results.cells import store
from suites import rewards
from tests.harness.conftest import Vowels, comparable, write_jsonl

ASK = ("losses=dpo", "generate=6", "max_new_tokens=10")


def cells(tmp_path, out="runs"):
    return {folder.name.split("-")[0]: folder for folder in (tmp_path / out / "pairs").iterdir() if folder.is_dir()}


@pytest.fixture
def trainings(monkeypatch):
    """Counts how often a cell was trained."""
    counted = []
    real = harness.cells.cell.train
    monkeypatch.setattr(harness.cells.cell, "train", lambda *a, **k: counted.append(1) or real(*a, **k))
    return counted


@pytest.fixture
def vowels():
    """A known reward under the name of the tests' suite."""
    rewards.register_reward("pairs")(Vowels)
    yield Vowels()
    rewards._makers.pop("pairs")
    rewards.get.cache_clear()


def test_every_cell_completes_the_same_test_prompts_and_its_row_says_how(command, tmp_path, capsys):
    command(*ASK, report=True)
    runs = results.read(tmp_path / "runs").set_index("loss")
    tables = {name: read_completions(folder) for name, folder in cells(tmp_path).items()}
    assert set(tables) == {"none", "sft", "dpo"}
    for name, table in tables.items():
        assert list(table["prompt_id"]) == list(tables["none"]["prompt_id"]) and len(table) == 6
        assert runs.loc[name, "generated_tokens"] == table["tokens"].mean() <= 10
        assert runs.loc[name, "generated_prompts"] == 6
        assert runs.loc[name, "kl"] == pytest.approx((table["logp"] - table["reference_logp"]).mean())
        assert store.is_done(cells(tmp_path)[name])
    assert runs.loc["none", "kl"] == 0 and runs.loc["none", "length_ratio"] == 1
    assert runs.loc["sft", "kl"] > 1 and math.isfinite(runs.loc["sft", "kl_se"])
    assert pd.isna(runs.loc["dpo", "gold_reward"]) and pd.isna(runs.loc["dpo", "win_rate"])
    assert "Completions of 6 prompts after training." in capsys.readouterr().out
    report = (tmp_path / "runs" / "pairs" / "report.md").read_text()
    assert "### Generated completions" in report


def test_completions_change_no_other_number_and_the_same_command_asks_nothing(command, tmp_path):
    command(*ASK)
    again = command(*ASK)
    command("losses=dpo", out="bare")
    asked, bare = (comparable(results.read(tmp_path / out)) for out in ("runs", "bare"))
    same = [name for name in bare.columns if bare[name].notna().any()]
    pd.testing.assert_frame_equal(asked[same], bare[same], check_exact=True)
    assert again.trained == []


@pytest.mark.slow
def test_completions_asked_later_of_cells_without_models_train_them_again_with_a_note(command, tmp_path, trainings):
    command("losses=dpo")
    before = comparable(results.read(tmp_path / "runs"))
    told = command(*ASK)
    assert len(trainings) == 4  # sft and dpo, twice
    assert sum("finished without its model, so it is trained again" in line for line in told.lines) == 2
    after = comparable(results.read(tmp_path / "runs"))
    same = [name for name in before.columns if before[name].notna().any()]
    pd.testing.assert_frame_equal(after[same], before[same], check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_saved_model_completes_prompts_later_without_training_and_says_the_same(command, tmp_path, trainings, tuning):
    words = ("losses=dpo", f"tuning={tuning}", "save=all")
    command(*ASK, *words[1:], out="at-once")
    trained = len(trainings)
    command(*words, out="later")
    command(*ASK, *words[1:], out="later")
    assert len(trainings) == 2 * trained
    at_once, later = (comparable(results.read(tmp_path / out)) for out in ("at-once", "later"))
    pd.testing.assert_frame_equal(at_once, later, check_exact=True)


def test_the_gold_judge_compares_each_completion_with_the_references(command, tmp_path, trainings, vowels):
    command(*ASK)
    trained = len(trainings)
    command(*ASK, "judge=gold")  # the completions are there: nothing is trained for a judge
    assert len(trainings) == trained
    runs = results.read(tmp_path / "runs").set_index("loss")
    folders = cells(tmp_path)
    ours, theirs = read_completions(folders["sft"]), read_completions(folders["none"])
    gains = [a - b for a, b in zip(*(vowels.score([], list(t["answer"])) for t in (ours, theirs)), strict=True)]
    wins = [1.0 if gain > 0 else 0.5 if gain == 0 else 0.0 for gain in gains]
    assert runs.loc["sft", "gold_reward_gain"] == pytest.approx(sum(gains) / 6)
    assert runs.loc["sft", "win_rate"] == pytest.approx(sum(wins) / 6)
    (verdicts,) = folders["sft"].glob("verdicts-gold*.parquet")
    assert list(pd.read_parquet(verdicts)["preference"]) == wins
    assert pd.isna(runs.loc["none", "win_rate"]) and runs.loc["none", "gold_reward_gain"] == 0
    assert set(json.loads((folders["sft"] / "row.json").read_text())["files"]) >= {GENERATIONS, verdicts.name}


@pytest.mark.slow
def test_training_once_more_keeps_what_was_added(command, tmp_path):
    command(*ASK, "controls=false")
    before = comparable(results.read(tmp_path / "runs"))
    command("losses=dpo", "controls=false", "save=all")
    pd.testing.assert_frame_equal(comparable(results.read(tmp_path / "runs")), before, check_exact=True)
    assert command(*ASK, "controls=false").trained == []


def test_prompts_of_a_file_are_completed_instead(command, tmp_path):
    path = write_jsonl(tmp_path / "asked.jsonl", [{"prompt": f"say {n}", "id": f"mine-{n}"} for n in range(4)])
    command("losses=dpo", "controls=false", "generate=3", f"prompts={path}", "max_new_tokens=4", "temperature=0")
    (folder,) = cells(tmp_path).values()
    assert list(read_completions(folder)["prompt_id"]) == ["mine-0", "mine-1", "mine-2"]
    assert pd.isna(results.read(tmp_path / "runs")["kl"][0])  # greedy completions are no sample of the policy


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("generate=9",), ["generate=9: there are 8 prompts", "raise eval_pairs"]),
        (("generate=4", "judge=gold"), ["judge=gold: suite 'pairs' has no known reward", "imdb-sentiment"]),
        (("judge=gold",), ["generate=0", "add generate=128"]),
        (("generate=4", "judge=gold", "controls=false"), ["baseline `none`", "controls=true", "judge.baseline=chosen"]),
        (("generate=4", "refusal=rule", "controls=false"), ["refusal= reads the completions", "controls=true"]),
        (("prompts=p.csv",), ["prompts=", "generate=0"]),
        (("generate=2", "prompts=none.jsonl"), ["prompts: no such file"]),
        (("generate=2", "top_p=1.5"), ["top_p", "<= 1"]),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_trained(command, tmp_path, words, parts):
    with pytest.raises(UsageError) as refused:
        command("losses=dpo", *words)
    assert all(part in str(refused.value) for part in parts)
    assert not (tmp_path / "runs").exists()
