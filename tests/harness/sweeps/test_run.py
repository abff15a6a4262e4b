"""Whole commands on the tiny model: what is trained, what is kept, what is left behind."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
import torch

import harness.cells.cell
import harness.training.loaded_model
import harness.training.loop
import losses
import results
from results.schema.row import ROW_COLUMNS
from tests.harness.conftest import comparable, pair_rows, write_jsonl

FIVE = "losses=dpo,ipo,kto,simpo,orpo"


def test_five_losses_and_two_controls_in_one_table(command, tmp_path, capsys):
    told = command(FIVE, report=True)
    assert told.code == 0
    runs = results.read(tmp_path / "runs")
    assert set(runs["loss"]) == {"none", "sft", "dpo", "ipo", "kto", "simpo", "orpo"}
    assert (runs["status"] == "done").all() and runs["protocol"].nunique() == 1
    assert list(runs.columns[: len(ROW_COLUMNS)]) == [column.name for column in ROW_COLUMNS]
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("none", "sft", "dpo", "ipo", "kto", "simpo", "orpo"))
    assert "1 seed: no claim about the losses" in shown
    assert "repeat: python -m harness run" in shown
    place = tmp_path / "runs" / "pairs"
    for name in ("report.md", "report.html", "results.parquet", "results.csv"):
        assert (place / name).stat().st_size > 500


def test_the_second_identical_command_trains_nothing_and_prints_the_same_table(command, capsys):
    first = command("losses=dpo,simpo")
    shown = capsys.readouterr().out
    second = command("losses=dpo,simpo")
    assert first.trained == ["none", "sft", "dpo", "simpo"] and second.trained == []
    assert capsys.readouterr().out == shown


def test_one_more_loss_trains_only_that_loss(command):
    command("losses=dpo")
    assert command("losses=dpo,ipo").trained == ["ipo"]
    assert command("losses=ipo,dpo").trained == []
    assert command("losses=dpo", "dpo.beta=0.1,0.5").trained == ["dpo"]


def test_two_fresh_runs_agree_to_the_last_bit_with_a_cold_and_a_warm_store(command, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cold"))
    command(FIVE, "evals=2", out="a")
    command(FIVE, "evals=2", out="b")
    command(FIVE, "evals=2", "store=false", out="c")
    runs = [comparable(results.read(tmp_path / out)) for out in "abc"]
    pd.testing.assert_frame_equal(runs[0], runs[1], check_exact=True)
    pd.testing.assert_frame_equal(runs[0], runs[2], check_exact=True)
    assert len(runs[0]) == 7
    tables = [results.pairs(tmp_path / out, step="all", split=None) for out in "ab"]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert set(tables[0].loc[tables[0]["loss"] == "dpo", "step"]) == {2, 4}
    curves = [results.curves(tmp_path / out).drop(columns="seconds") for out in "abc"]
    pd.testing.assert_frame_equal(curves[0], curves[1], check_exact=True)
    pd.testing.assert_frame_equal(curves[0], curves[2], check_exact=True)


def test_all_losses_were_trained_on_the_same_row_ids_in_the_same_order(command, monkeypatch):
    seen: dict[str, list[str]] = {}
    real = harness.training.loop.accumulate_gradient

    def watched(scorer, job, batch, state):
        seen.setdefault(job.loss.name, []).extend(row.id for row in batch.rows)
        return real(scorer, job, batch, state)

    monkeypatch.setattr(harness.training.loop, "accumulate_gradient", watched)
    command(FIVE, "epochs=2")
    assert set(seen) == {"sft", "dpo", "ipo", "kto", "simpo", "orpo"}
    assert len({tuple(order) for order in seen.values()}) == 1
    assert len(seen["dpo"]) == 64 and len(set(seen["dpo"])) == 32


def test_neither_commit_nor_versions_nor_threads_are_part_of_a_cell(command, monkeypatch):
    command("losses=dpo")
    monkeypatch.setattr(harness.cells.cell, "commit", lambda: "another")
    monkeypatch.setattr(harness.cells.cell, "versions", lambda: {"torch": "9"})
    assert command("losses=dpo", "threads=1", "micro_batch=2", "layout=plain").trained == []


@pytest.mark.parametrize("change", ["lrs=2e-3", "seeds=1", "max_tokens=300", "batch_size=16", "warmup=0.2", "epochs=2"])
def test_what_decides_the_weights_makes_another_cell(command, change):
    command("losses=dpo")
    assert "dpo" in command("losses=dpo", change).trained


def test_a_change_of_the_data_makes_other_cells(command, tmp_path):
    command("losses=dpo")
    rows = pair_rows(120)
    rows[0]["chosen"] += " indeed"
    write_jsonl(tmp_path / "pairs.jsonl", rows)
    assert "dpo" in command("losses=dpo").trained


PLUGIN = """\
import losses
from torch.nn.functional import logsigmoid

@losses.register("mine", needs={{"reference"}}, reward="log_ratio")
def mine(pair: losses.PairBatch, *, beta: float = 0.1):
    return -logsigmoid(beta * (pair.chosen_log_ratio - pair.rejected_log_ratio) - {offset})
"""


@pytest.fixture
def plugin(tmp_path: Path):
    path = tmp_path / "my_loss.py"
    before = set(losses.names())

    def write(offset: float) -> str:
        path.write_text(PLUGIN.format(offset=offset))
        return f"plugins={path}"

    yield write
    for name in set(losses.names()) - before:
        losses.registry._losses.pop(name)


def test_a_loss_of_eight_lines_outside_the_project_appears_in_every_table(command, plugin, tmp_path, capsys):
    assert len(PLUGIN.splitlines()) <= 8
    command(plugin(0.0), "losses=dpo,mine", report=True)
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert runs.loc["mine", "preference_accuracy"] == runs.loc["dpo", "preference_accuracy"]
    assert runs.loc["mine", "chosen_logp_drift"] == runs.loc["dpo", "chosen_logp_drift"]
    place = tmp_path / "runs" / "pairs"
    assert "mine" in capsys.readouterr().out
    assert all("mine" in (place / name).read_text() for name in ("report.md", "report.html", "results.csv"))
    assert "mine" in set(results.pairs(place)["loss"]) and "mine" in set(results.curves(place)["loss"])


def test_editing_a_plugin_retrains_its_loss_and_nothing_else(command, plugin):
    command(plugin(0.0), "losses=dpo,mine")
    assert command(plugin(0.0), "losses=dpo,mine").trained == []
    assert command(plugin(0.5), "losses=dpo,mine").trained == ["mine"]


def test_a_loss_that_is_not_finite_fails_its_cell_with_its_step_and_the_sweep_goes_on(command, tmp_path, capsys):
    told = command("losses=dpo,simpo", "dpo.lrs=1e30")
    assert told.code == 1
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert runs.loc["dpo", "status"] == "failed"
    assert "at step" in runs.loc["dpo", "reason"] and "rows" in runs.loc["dpo", "reason"]
    assert runs.loc["simpo", "status"] == "done" and math.isfinite(runs.loc["simpo", "margin"])
    assert "at step" in capsys.readouterr().out
    kept = command("losses=dpo,simpo", "dpo.lrs=1e30")
    assert kept.trained == [] and kept.code == 1
    assert any("failed earlier:" in line and "retry=failed runs it again" in line for line in kept.lines)
    assert command("losses=dpo,simpo", "dpo.lrs=1e30", "retry=failed").trained == ["dpo"]


def test_a_model_that_the_last_update_spoilt_fails_its_cell_and_the_sweep_goes_on(command, tmp_path, monkeypatch):
    real, lost = harness.training.loaded_model.LoadedModel.evaluate, math.nan

    def spoilt(self, model):
        nonlocal lost
        factor, lost = lost, 1.0  # the first cell's alone
        return [tuple(tokens * factor for tokens in completions) for completions in real(self, model)]

    monkeypatch.setattr(harness.training.loaded_model.LoadedModel, "evaluate", spoilt)
    told = command("losses=dpo,simpo", "controls=false")
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert told.code == 1 and runs.loc["dpo", "status"] == "failed" and runs.loc["simpo", "status"] == "done"
    assert "dpo after step 4 of 4: log-probs of 16 held-out rows are not finite" in runs.loc["dpo", "reason"]


def test_ctrl_c_leaves_finished_cells_and_the_next_command_goes_on(command, monkeypatch, tmp_path):
    real = harness.cells.cell.train

    def interrupted(scorer, job, *others):
        if job.loss.name == "simpo":
            raise KeyboardInterrupt
        return real(scorer, job, *others)

    monkeypatch.setattr(harness.cells.cell, "train", interrupted)
    told = command("losses=dpo,simpo,ipo")
    assert told.code == 130
    assert set(results.read(tmp_path / "runs")["loss"]) == {"none", "sft", "dpo"}
    assert not list((tmp_path / "runs").rglob("claim.json"))
    monkeypatch.setattr(harness.cells.cell, "train", real)
    assert command("losses=dpo,simpo,ipo").trained == ["simpo", "ipo"]


def test_ctrl_c_in_the_first_cell_says_that_alone(command, monkeypatch):
    def interrupted(scorer, job, *others):
        raise KeyboardInterrupt

    monkeypatch.setattr(harness.cells.cell, "train", interrupted)
    told = command("losses=dpo", "controls=false")
    assert told.code == 130 and told.lines[-1].endswith("the same command goes on from here")


def test_swapping_chosen_and_rejected_in_the_data_flips_the_metrics(command, tmp_path):
    command("losses=dpo")
    swapped = [r | {"chosen": r["rejected"], "rejected": r["chosen"]} for r in pair_rows(120)]
    path = write_jsonl(tmp_path / "swapped.jsonl", swapped)
    command(f"suite={path}", "losses=dpo")
    one, other = (results.read(tmp_path / "runs" / name).set_index("loss").loc["dpo"] for name in ("pairs", "swapped"))
    assert one["likelihood_accuracy_at_start"] == pytest.approx(1 - other["likelihood_accuracy_at_start"])
    assert one["margin"] > 0 and other["margin"] > 0  # each learns its own data
    assert torch.isfinite(torch.tensor([one["margin"], other["margin"]])).all()


@pytest.fixture
def forgotten(monkeypatch):
    """Losses that a test registers are gone afterwards."""
    monkeypatch.setattr(losses.registry, "_losses", dict(losses.registry._losses))
    monkeypatch.setattr(losses.plugins, "_loaded", dict(losses.plugins._loaded))


def test_a_weighted_sum_trains_under_a_plain_name_with_its_terms_in_the_curve(command, forgotten, tmp_path):
    told = command("losses=dpo+0.2*sft", "dpo+0.2*sft.beta=0.1,0.5")
    assert told.code == 0
    runs = results.read(tmp_path / "runs")
    trained = runs[runs["loss"] == "dpo_plus_sft_x0p2"]
    assert sorted(trained["beta"]) == [0.1, 0.5]
    curves = results.curves(tmp_path / "runs")
    seen = curves[curves["loss"] == "dpo_plus_sft_x0p2"]
    assert (seen["term_dpo"] + seen["term_sft"] - seen["loss_value"]).abs().max() < 1e-5
    assert command("losses=dpo+0.2*sft", "dpo+0.2*sft.beta=0.1,0.5").trained == []
    assert command("losses=dpo+0.3*sft").trained == ["dpo_plus_sft_x0p3"]


def test_editing_a_plugin_retrains_the_sums_it_is_part_of(command, forgotten, tmp_path):
    file = tmp_path / "part.py"
    text = (
        "import losses\n@losses.register('part', needs={'reference'})\n"
        "def part(pair: losses.PairBatch, *, beta: float = 0.1):\n    return (1.0 - beta * pair.margin).relu()\n"
    )
    file.write_text(text)
    words = ["losses=dpo,dpo+0.5*part", f"plugins={file}"]
    assert set(command(*words).trained) >= {"dpo", "dpo_plus_part_x0p5"}
    file.write_text(text.replace("1.0", "2.0"))
    assert command(*words).trained == ["dpo_plus_part_x0p5"]


def test_a_mixture_is_measured_by_source_in_rows_pairs_and_report(command, tmp_path, capsys):
    others = [row | {"prompt": f"other {row['prompt']}"} for row in pair_rows(120)]
    paths = write_jsonl(tmp_path / "help.jsonl", pair_rows(120)), write_jsonl(tmp_path / "harm.jsonl", others)
    told = command(f"suite={paths[0]}*0.75+{paths[1]}*0.25", "losses=dpo", report=True)
    assert told.code == 0
    runs = results.read(tmp_path / "runs").set_index("loss")
    pairs = results.pairs(tmp_path / "runs")
    assert pairs.groupby(["loss", "source"]).size().to_dict()["dpo", "help"] == 6
    for source, count in (("help", 6), ("harm", 2)):
        alone = pairs[(pairs["loss"] == "dpo") & (pairs["source"] == source)].drop(columns=["cell", "loss"])
        assert runs.loc["dpo", f"n[{source}]"] == count
        assert runs.loc["dpo", f"chosen_logp_drift[{source}]"] == results.metrics.chosen_logp_drift(alone)
    assert runs.loc["none", "preference_accuracy[help]"] == 0.5
    assert runs.loc["dpo", "suite"] == "help_x0.75_plus_harm_x0.25"
    assert "harm" in capsys.readouterr().out
    assert "### By source" in next((tmp_path / "runs").rglob("report.md")).read_text()
