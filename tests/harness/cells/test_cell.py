"""What one cell leaves: its columns, its files, its model; where it starts and what it can learn from."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

import results
from harness.__main__ import main
from harness.cells.cell import CellRunner, run_cell
from harness.cells.sweep import prepare_sweep
from harness.compute.machine import resolve
from harness.options.lookup import read_options
from harness.progress import silent
from harness.training.callbacks import Callback
from harness.training.loaded_model import LoadedModel
from results.schema.from_tables import FROM_ANSWERS, FROM_SOME_ANSWERS
from results.schema.row import RERANK_COLUMNS, names
from tests.harness.conftest import SMALL, comparable, pair_rows, write_jsonl


def test_the_columns_of_a_run_are_filled(command, tmp_path):
    command("losses=dpo")
    runs = results.read(tmp_path / "runs").set_index("loss")
    later = {
        "win_rate",
        "win_rate_se",
        "win_rate_baseline",
        "win_rate_length_controlled",
        "win_rate_length_controlled_se",
        "judge",
        "judged_prompts",
        "tie_share",
        "invalid_share",
        "position_consistency",
        "length_agreement",
        "length_agreement_se",
        "judge_tokens",
        "canary_constant",
        "canary_copied_prompt",
        "canary_injection",
        "judgements",
        "capability",
        "refusal_rate",
        "refusal_rate_se",
        "refusal_rate_reference",
        "refusal_rate_reference_se",
        "refusal_counted_by",
        "displacement_ches",
        "generation",
        "trained_model",
        "trained_model_revision",
        "trial",
        "role",
        *names(RERANK_COLUMNS),
        *FROM_ANSWERS,
        *FROM_SOME_ANSWERS,
        *(f"{side}_logp_drift_rest{error}" for side in ("chosen", "rejected") for error in ("", "_se")),
    }
    optional = {"reason", "plugin_digest", "micro_batch", "min_margin", "diagnosis"}
    of_later_rounds = {"parent", "reference", "rated_by", "margin_at_start", "chosen_logp_drift_at_start"}
    empty = {name for name in runs.columns if pd.isna(runs.loc["dpo", name]) or runs.loc["dpo", name] == ""}
    assert empty - later - of_later_rounds <= optional
    assert runs.loc["dpo", "train_pairs"] == 32 and runs.loc["dpo", "steps"] == 4
    assert runs.loc["none", "preference_accuracy"] == 0.5 and runs.loc["none", "margin"] == 0
    assert runs.loc["dpo", "likelihood_accuracy_at_start"] == runs.loc["none", "likelihood_accuracy"]


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


def test_an_adapter_on_a_tuned_start_names_that_start_as_its_base(command, tmp_path, pairs_file, capsys):
    command("losses=dpo", "tuning=lora", "start=sft", "save=all", "controls=false", "lrs=1e-3")
    (adapter,) = (tmp_path / "runs").rglob("model")
    base = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    words = ["evaluate", f"model={adapter}", f"suite={pairs_file}", "eval_pairs=8", "device=cpu", "workers=0"]
    assert main([*words, f"reference={base}", f"out={tmp_path / 'elsewhere'}"]) == 0
    pairs = [results.pairs(tmp_path / out).query("loss != 'none'") for out in ("runs", "elsewhere")]
    for side in ("policy_chosen_logp", "reference_chosen_logp"):
        assert pairs[0][side].tolist() == pytest.approx(pairs[1][side].tolist(), abs=1e-3)
    assert main([*words, "reference=tiny", f"out={tmp_path / 'other'}"]) == 2
    assert f"was trained on {base}, which is not reference 'tiny'" in capsys.readouterr().err


@pytest.mark.slow
def test_asking_later_for_the_best_model_trains_the_best_cell_again(command, tmp_path):
    command("losses=dpo,simpo")
    before = comparable(results.read(tmp_path / "runs"))
    assert len(command("losses=dpo,simpo", "save=best").trained) == 1
    pd.testing.assert_frame_equal(before, comparable(results.read(tmp_path / "runs")), check_exact=True)


def test_save_all_keeps_every_trained_cell(command, tmp_path):
    command("losses=dpo", "save=all")
    assert sorted(p.parent.name.split("-")[0] for p in (tmp_path / "runs").rglob("model")) == ["dpo", "sft"]


@pytest.mark.slow
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
    assert any("dpo" in line and "single rated completions" in line for line in told.lines)
    assert not any("accuracy nan" in line for line in told.lines)
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert runs.loc["dpo", "status"] == "skipped"
    assert math.isfinite(runs.loc["kto", "chosen_logp_drift"]) and math.isnan(runs.loc["kto", "preference_accuracy"])


def test_seeds_draw_other_rows_and_the_untrained_control_runs_once(command, tmp_path):
    command("losses=dpo", "seeds=0,1")
    runs = results.read(tmp_path / "runs")
    assert (runs["loss"] == "none").sum() == 1 and (runs["loss"] == "sft").sum() == 2
    assert runs.loc[runs["loss"] == "dpo", "train_rows_digest"].nunique() == 2
    assert runs["eval_rows_digest"].nunique() == 1


def test_a_killed_cell_goes_on_with_the_evaluations_made_before(command, tmp_path, monkeypatch):
    words = ["losses=dpo", "controls=false", "evals=4", "checkpoint_steps=1"]
    command(*words, out="whole")
    evaluate, calls = LoadedModel.evaluate, []

    def killed(loaded, model):
        calls.append(model)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return evaluate(loaded, model)

    monkeypatch.setattr(LoadedModel, "evaluate", killed)
    assert command(*words).code == 130
    assert command(*words).code == 0 and len(calls) == 5  # the last evaluation alone was made again
    tables = [results.pairs(tmp_path / out, step="all", split=None) for out in ("whole", "runs")]
    assert list(tables[1]["step"].unique()) == [1, 2, 3, 4]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    runs = [comparable(results.read(tmp_path / out)) for out in ("whole", "runs")]
    pd.testing.assert_frame_equal(*runs, check_exact=True)


def test_a_checkpoint_made_without_the_evaluations_asked_for_is_not_used(command, tmp_path, monkeypatch):
    words = ["losses=dpo", "controls=false", "checkpoint_steps=3"]
    with monkeypatch.context() as patch:
        patch.setattr(LoadedModel, "evaluate", lambda loaded, model: (_ for _ in ()).throw(KeyboardInterrupt))
        assert command(*words).code == 130
    assert len(list((tmp_path / "runs").rglob("state-3.safetensors"))) == 1
    assert command(*words, "evals=2").code == 0
    assert list(results.pairs(tmp_path / "runs", step="all")["step"].unique()) == [2, 4]


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


class Watching(Callback):
    def __init__(self):
        self.told = []

    def on_start(self, row):
        self.told.append(("start", row["loss"], row["cell"], row["lr"]))

    def on_step(self, row):
        self.told.append(("step", row["step"]))

    def on_cell(self, row):
        self.told.append(("cell", row["loss"], row["cell"], row["status"]))


def test_who_looks_on_is_told_of_a_cell_before_its_steps_and_when_it_is_stored(pairs_file, tmp_path):
    options, _ = read_options([f"suite={pairs_file}", *SMALL, "losses=dpo", "controls=false", f"out={tmp_path}"])
    sweep = prepare_sweep(options, resolve(options), silent())
    watching, progress = Watching(), silent()
    runner = CellRunner(LoadedModel(sweep.identity, sweep.tokenizer, sweep.machine, progress), [watching])
    (trial,) = sweep.trials
    progress.cell_started(trial.label, sweep.steps(trial))
    run_cell(runner, trial, sweep.places(trial), save=False, lacks=sweep.missing(trial))
    cell = sweep.identity.cell_id(trial)
    steps = [("step", number) for number in range(1, 5)]
    assert watching.told == [("start", "dpo", cell, trial.lr), *steps, ("cell", "dpo", cell, "done")]
