"""Whole commands on the tiny model: what is trained, what is kept, what is left behind."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch

import harness.cell
import harness.train
import losses
import results
from harness.names import read_options
from harness.progress import Progress, Silent
from harness.run import run
from results.columns import ROW_COLUMNS, VOLATILE
from tests.harness.conftest import pair_rows, write_jsonl

FIVE = "losses=dpo,ipo,kto,simpo,orpo"
SMALL = ["model=tiny", "train_pairs=32", "eval_pairs=8", "batch_size=8", "precision=fp32", "device=cpu"]


class Told:
    """One command's exit code and the lines it said on the way."""

    def __init__(self, words: list[str]) -> None:
        display = Silent()
        options, self.warnings = read_options(words)
        with Progress(display) as progress:
            self.code = run(options, progress, "python -m harness run " + " ".join(words))
        self.lines = display.lines

    @property
    def trained(self) -> list[str]:
        """The losses that were trained, in order."""
        return [line.split("] ")[1].split(":")[0].split(" ")[0] for line in self.lines if ": started" in line]


@pytest.fixture
def command(pairs_file: Path, tmp_path: Path):
    def tell(*words: str, out: str = "runs") -> Told:
        given = {word.partition("=")[0] for word in words}
        common = [w for w in [f"suite={pairs_file}", *SMALL] if w.partition("=")[0] not in given]
        return Told([*common, f"out={tmp_path / out}", *words])

    return tell


def comparable(runs: pd.DataFrame) -> pd.DataFrame:
    """The columns that must be equal between equal runs, in a fixed order of cells."""
    kept = [name for name in runs.columns if name not in VOLATILE and name != "files"]
    return runs[kept].sort_values("cell").reset_index(drop=True)


def test_five_losses_and_two_controls_in_one_table(command, tmp_path, capsys):
    told = command(FIVE)
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


def test_the_columns_of_a_run_are_filled(command, tmp_path):
    command("losses=dpo")
    runs = results.read(tmp_path / "runs").set_index("loss")
    later = {
        "win_rate", "win_rate_se", "win_rate_baseline", "win_rate_length_controlled",
        "win_rate_length_controlled_se", "generated_tokens", "length_ratio", "truncated_fraction", "distinct_2",
        "kl", "kl_se",
    }  # fmt: skip
    optional = {"reason", "plugin_digest", "micro_batch"}
    empty = {name for name in runs.columns if pd.isna(runs.loc["dpo", name]) or runs.loc["dpo", name] == ""}
    assert empty - later <= optional
    assert runs.loc["dpo", "train_pairs"] == 32 and runs.loc["dpo", "steps"] == 4
    assert runs.loc["none", "preference_accuracy"] == 0.5 and runs.loc["none", "margin"] == 0
    assert runs.loc["dpo", "likelihood_accuracy_at_start"] == runs.loc["none", "likelihood_accuracy"]


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
    real = harness.train.accumulate_gradient

    def watched(scorer, job, batch, state):
        seen.setdefault(job.loss.name, []).extend(row.id for row in batch.rows)
        return real(scorer, job, batch, state)

    monkeypatch.setattr(harness.train, "accumulate_gradient", watched)
    command(FIVE, "epochs=2")
    assert set(seen) == {"sft", "dpo", "ipo", "kto", "simpo", "orpo"}
    assert len({tuple(order) for order in seen.values()}) == 1
    assert len(seen["dpo"]) == 64 and len(set(seen["dpo"])) == 32


def test_neither_commit_nor_versions_nor_threads_are_part_of_a_cell(command, monkeypatch):
    command("losses=dpo")
    monkeypatch.setattr(harness.cell, "commit", lambda: "another")
    monkeypatch.setattr(harness.cell, "versions", lambda: {"torch": "9"})
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
    command(plugin(0.0), "losses=dpo,mine")
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
    assert command("losses=dpo,simpo", "dpo.lrs=1e30").trained == ["dpo"]


def test_ctrl_c_leaves_finished_cells_and_the_next_command_goes_on(command, monkeypatch, tmp_path):
    real = harness.cell.train

    def interrupted(scorer, job, **hooks):
        if job.loss.name == "simpo":
            raise KeyboardInterrupt
        return real(scorer, job, **hooks)

    monkeypatch.setattr(harness.cell, "train", interrupted)
    told = command("losses=dpo,simpo,ipo")
    assert told.code == 130
    assert set(results.read(tmp_path / "runs")["loss"]) == {"none", "sft", "dpo"}
    assert not list((tmp_path / "runs").rglob("claim.json"))
    monkeypatch.setattr(harness.cell, "train", real)
    assert command("losses=dpo,simpo,ipo").trained == ["simpo", "ipo"]


def test_save_best_keeps_the_winner_alone_and_it_loads(command, tmp_path, capsys):
    from transformers import AutoModelForCausalLM

    command("losses=dpo,simpo", "save=best")
    runs = results.read(tmp_path / "runs").query("not control").set_index("loss")
    folders = list((tmp_path / "runs").rglob("model"))
    best = runs["validation_preference_accuracy"].astype(float).idxmax()
    assert [folder.parent.name.split("-")[0] for folder in folders] == [best]
    assert f"model:  {folders[0]}" in capsys.readouterr().out
    assert AutoModelForCausalLM.from_pretrained(folders[0]).num_parameters() > 0
    assert command("losses=dpo,simpo", "save=best").trained == []


def test_asking_later_for_the_best_model_trains_the_best_cell_again(command, tmp_path):
    command("losses=dpo,simpo")
    before = comparable(results.read(tmp_path / "runs"))
    assert len(command("losses=dpo,simpo", "save=best").trained) == 1
    pd.testing.assert_frame_equal(before, comparable(results.read(tmp_path / "runs")), check_exact=True)


def test_save_all_keeps_every_trained_cell(command, tmp_path):
    command("losses=dpo", "save=all")
    assert sorted(p.parent.name.split("-")[0] for p in (tmp_path / "runs").rglob("model")) == ["dpo", "sft"]


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_start_sft_begins_every_cell_at_the_tuned_weights_and_is_made_once(command, tmp_path, tuning):
    told = command("losses=dpo,simpo", "start=sft", f"tuning={tuning}")
    starts = [line for line in told.lines if line.startswith("training the starting weights")]
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert len(starts) == 2  # begun, done
    assert runs.loc["none", "preference_accuracy"] == 0.5 and set(runs["start"]) == {"sft"}
    plain = command("losses=dpo", out="other")
    assert plain.code == 0
    untuned = results.read(tmp_path / "other").set_index("loss")
    assert untuned.loc["none", "protocol"] != runs.loc["none", "protocol"]
    again = command("losses=dpo,ipo", "start=sft", f"tuning={tuning}")
    assert again.trained == ["ipo"] and not any("training the starting weights" in line for line in again.lines)


def test_lora_trains_at_ten_times_the_rate_and_is_another_table(command, tmp_path):
    command("losses=dpo", "tuning=lora", "lora_rank=4", "save=all")
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert runs.loc["dpo", "lr"] == pytest.approx(1e-2)
    assert (tmp_path / "runs").rglob("adapter_model.safetensors")
    assert list((tmp_path / "runs").rglob("adapter_config.json"))


def test_unpaired_examples_train_kto_and_skip_pairwise_losses_with_the_reason(command, tmp_path, capsys):
    rows = [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for row in pair_rows(100)
        for side in ("chosen", "rejected")
    ]
    path = write_jsonl(tmp_path / "unpaired.jsonl", rows)
    told = command(f"suite={path}", "losses=kto,dpo")
    assert told.code == 0 and told.trained == ["none", "kto"]
    assert any("dpo" in line and "single rated answers" in line for line in told.lines)
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert runs.loc["dpo", "status"] == "skipped"
    assert math.isfinite(runs.loc["kto", "chosen_logp_drift"]) and math.isnan(runs.loc["kto", "preference_accuracy"])


def test_seeds_draw_other_rows_and_the_untrained_control_runs_once(command, tmp_path):
    command("losses=dpo", "seeds=0,1")
    runs = results.read(tmp_path / "runs")
    assert (runs["loss"] == "none").sum() == 1 and (runs["loss"] == "sft").sum() == 2
    assert runs.loc[runs["loss"] == "dpo", "train_rows_digest"].nunique() == 2
    assert runs["eval_rows_digest"].nunique() == 1


def test_a_cell_folder_holds_what_the_contract_says(command, tmp_path):
    command("losses=orpo", "checkpoint_steps=2")
    (folder,) = (tmp_path / "runs" / "pairs").glob("orpo-*")
    files = ["cell.json", "curve.parquet", "log.txt", "pairs.parquet", "row.json"]
    assert sorted(p.name for p in folder.iterdir()) == files
    row = json.loads((folder / "row.json").read_text())
    assert set(row["files"]) == {"cell.json", "curve.parquet", "log.txt", "pairs.parquet"}
    cell = json.loads((folder / "cell.json").read_text())
    assert cell["loss"] == "orpo" and cell["lr"] == row["lr"] and "commit" not in cell
    assert str(tmp_path) not in (folder / "cell.json").read_text()


def test_swapping_chosen_and_rejected_in_the_data_flips_the_metrics(command, tmp_path):
    command("losses=dpo")
    swapped = [r | {"chosen": r["rejected"], "rejected": r["chosen"]} for r in pair_rows(120)]
    path = write_jsonl(tmp_path / "swapped.jsonl", swapped)
    command(f"suite={path}", "losses=dpo")
    one, other = (results.read(tmp_path / "runs" / name).set_index("loss").loc["dpo"] for name in ("pairs", "swapped"))
    assert one["likelihood_accuracy_at_start"] == pytest.approx(1 - other["likelihood_accuracy_at_start"])
    assert one["margin"] > 0 and other["margin"] > 0  # each learns its own data
    assert torch.isfinite(torch.tensor([one["margin"], other["margin"]])).all()
