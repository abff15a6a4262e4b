"""Whole searches on the tiny model: what is tried, cut and confirmed, and that a killed one goes on alike."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import harness.cells.cell
import results
from harness.errors import UsageError
from harness.options.lookup import read_options
from harness.progress import silent
from harness.sweeps.search import Rung, rungs
from harness.verbs.plan import plan
from results.cells import store
from tests.harness.conftest import SMALL, comparable, pair_rows, write_jsonl

SEARCH = ["losses=dpo,simpo", "search=random", "trials=2", "claim_seeds=3", "controls=false"]


def record(out: Path) -> dict:
    (file,) = (out / "pairs").glob("search-*.json")
    return json.loads(file.read_text())


def test_rungs_halve_the_settings_and_double_the_rows():
    assert rungs(8, 512, 16, halving=True) == [Rung(8, 64), Rung(4, 128), Rung(2, 256), Rung(1, 512)]
    assert rungs(6, 500, 16, halving=True) == [Rung(6, 112), Rung(3, 240), Rung(1, 500)]
    assert rungs(6, 512, 16, halving=False) == [Rung(6, 512)]
    assert rungs(8, 40, 16, halving=True) == [Rung(8, 16), Rung(4, 40)]  # a quarter would fill no batch
    assert rungs(1, 64, 16, halving=True) == [Rung(1, 64)]


def test_winner_and_default_of_each_loss_are_confirmed_on_fresh_seeds(command, tmp_path, capsys):
    told = command(*SEARCH)
    assert told.code == 0
    frame = results.search(tmp_path / "runs")
    tried = frame[(frame["stage"] == "search") & (frame["loss"] == "dpo")]
    assert tried["trial"].tolist() == [0, 1] and set(tried["seed"]) == {0} and set(tried["role"]) == {""}
    confirmed = frame[(frame["stage"] == "claim") & (frame["loss"] == "dpo")]
    assert sorted(zip(confirmed["role"], confirmed["seed"], strict=True)) == [
        (role, seed) for role in ("default", "winner") for seed in (1, 2, 3)
    ]
    best = tried.sort_values("validation_preference_accuracy", ascending=False, kind="stable").iloc[0]
    winners = confirmed[confirmed["role"] == "winner"]
    assert set(winners["lr"]) == {best["lr"]} and set(winners["trial"]) == {best["trial"]}
    assert set(confirmed.loc[confirmed["role"] == "default", "beta"]) == {0.1}
    shown = capsys.readouterr().out
    assert "dpo winner" in shown and "not distinguishable" in shown
    runs = results.read(tmp_path / "runs").set_index("cell")
    assert runs["stage"].value_counts().to_dict() == {"claim": 12, "search": 4}
    assert any("training tokens a loss" in line for line in told.lines)
    assert any("dpo on 32 rows, validation accuracy by trial: 0:" in line for line in told.lines)
    before = record(tmp_path / "runs")
    assert command(*SEARCH).trained == [] and record(tmp_path / "runs") == before
    more = command("losses=dpo,simpo", "search=random", "trials=3", "claim_seeds=none", "controls=false")
    assert more.trained == ["dpo", "simpo"]
    assert len(results.cells.searches.records(tmp_path / "runs")) == 2
    assert results.search(tmp_path / "runs", before["search"])["stage"].eq("claim").sum() == 12


def test_a_search_names_no_cell_anew(command, tmp_path):
    command("losses=dpo", "seeds=1,2,3")  # the default on the confirmation seeds: plain cells
    assert set(results.read(tmp_path / "runs")["stage"]) == {"plain"}
    told = command("losses=dpo", "search=random", "trials=2")
    assert len(told.trained) == 6  # sft of the search's seed, two trials, the winner's three
    parts = results.read(tmp_path / "runs")
    assert (parts["role"] == "default").sum() == 3


@pytest.mark.slow
def test_a_search_killed_anywhere_goes_on_with_the_same_decisions(command, tmp_path, monkeypatch):
    words = ["losses=dpo", "search=random", "trials=3", "claim_seeds=2", "controls=false"]
    whole = command(*words, out="whole")
    real, seen = harness.cells.cell.train, []

    def killed(scorer, job, *others):
        seen.append(job.loss.name)
        if len(seen) % 3 == 0:
            raise KeyboardInterrupt
        return real(scorer, job, *others)

    monkeypatch.setattr(harness.cells.cell, "train", killed)
    codes = [command(*words, out="cut").code for _ in range(4)]
    assert codes[:3] == [130, 130, 130] and codes[-1] == 0
    pd.testing.assert_frame_equal(*(comparable(results.read(tmp_path / out)) for out in ("whole", "cut")))
    assert whole.code == 0 and record(tmp_path / "whole")["decisions"] == record(tmp_path / "cut")["decisions"]


def test_a_race_cuts_losers_early_and_a_failed_trial_is_out(command, tmp_path):
    told = command("losses=dpo,simpo", "search=racing", "trials=4", "claim_seeds=none", "dpo.lrs=1e-4,1e30")
    assert told.code == 1  # a cell failed, and the search went on
    frame = results.search(tmp_path / "runs")
    trials = frame[~frame["control"].astype(bool)]
    sizes = trials.groupby(["loss", "rung"])["train_pairs"].agg(["count", "first"])
    assert sizes.loc["simpo"].to_numpy().tolist() == [[4, 8], [2, 16], [1, 32]]
    assert all(sizes.loc["dpo"]["count"] <= sizes.loc["simpo"]["count"])
    failed = trials[(trials["loss"] == "dpo") & (trials["status"] == "failed") & (trials["rung"] == 0)]
    assert len(failed)
    decisions = [one for one in record(tmp_path / "runs")["decisions"] if one["loss"] == "dpo"]
    assert not set(decisions[0]["kept"]) & set(failed["trial"])
    assert [one["validation_preference_accuracy"] for one in decisions[0]["evidence"]].count(None) == len(failed)
    assert decisions[-1]["train_pairs"] == 32 and len(decisions[-1]["kept"]) == 1


def test_a_default_that_wins_is_trained_once(command, tmp_path):
    told = command("losses=simper", "search=grid", "simper.lrs=1e-3", "claim_seeds=2", "controls=false")
    assert told.trained == ["simper"] * 3
    frame = results.search(tmp_path / "runs")
    assert frame["role"].tolist() == ["", "winner", "winner"]
    assert any("nothing to search: simper" in line for line in told.lines)
    assert any("with fewer than 3 confirmation seeds there is no verdict" in line for line in told.lines)


def test_a_plan_tells_what_is_known_and_counts_what_follows(command, tmp_path, pairs_file, capsys):
    search = ["losses=dpo", "search=random", "trials=2", "claim_seeds=2"]
    words = [f"suite={pairs_file}", *SMALL, *search, f"out={tmp_path / 'runs'}"]
    options, _ = read_options(words)
    plan(options, silent(), "plan")
    shown = capsys.readouterr().out
    assert "10 cells, protocol" in shown and "and about 6 that follow from what these show" in shown
    assert "dpo: lr 0.00033 to 0.003, beta 0.01 to 0.1" in shown and not (tmp_path / "runs").exists()
    command(*search)
    capsys.readouterr()
    plan(options, silent(), "plan")
    shown = capsys.readouterr().out
    assert shown.count("  finished  ") == 10 and "that follow" not in shown
    assert "seeds a side that find a difference in preference accuracy with probability 0.8: 0.1:" in shown
    assert "by the spread of 5 earlier runs of 2 settings" in shown


def test_a_suite_without_anything_to_select_by_is_refused(command, tmp_path):
    rows = [
        {"prompt": row["prompt"], "completion": row["chosen"], "label": i % 2 == 0}
        for i, row in enumerate(pair_rows(160))
    ]
    with pytest.raises(UsageError, match="holds single rated completions; leave out search="):
        command(f"suite={write_jsonl(tmp_path / 'rated.jsonl', rows)}", "losses=kto", "search=random")
    assert not (tmp_path / "runs").exists()


def test_a_cell_of_a_confirmation_can_be_trained_again_from_its_row(command, tmp_path, capsys):
    from harness.verbs.rerun import rerun

    command("losses=dpo", "search=random", "trials=2", "claim_seeds=2", "controls=false")
    winner = results.search(tmp_path / "runs").query("role == 'winner' and seed == 2").iloc[0]
    folder = store.cell_folder(tmp_path / "runs", "pairs", "dpo", winner["cell"])
    assert rerun(folder, [], silent()).findings == []
