"""`plan`: what a command would do, and nothing done."""

from __future__ import annotations

import shutil

import pytest

from harness.cells.estimate import assumed_rates, seconds, work
from harness.cells.sweep import plan_sweep
from harness.compute.machine import resolve
from harness.errors import UsageError
from harness.model.sources import empty_model, folder
from harness.options.lookup import read_options
from harness.progress import silent
from harness.sweeps.run import run
from harness.verbs.plan import plan


@pytest.fixture
def words(pairs_file, tmp_path):
    return [
        f"suite={pairs_file}",
        "model=tiny",
        "train_pairs=40",
        "eval_pairs=8",
        "batch_size=16",
        f"out={tmp_path / 'runs'}",
    ]


def test_a_plan_prints_rows_grid_and_cost_and_writes_nothing(words, tmp_path, capsys):
    options, _ = read_options([*words, "losses=dpo,simpo", "dpo.beta=0.1,0.5"])
    assert plan(options, silent(), "command") == 0
    shown = capsys.readouterr().out
    assert "5 cells" in shown and shown.count("to run") == 5
    for part in (
        "120 pairs kept of 120 read",
        "dropped:",
        "8 training rows of each epoch fill no batch",
        "parameters",
        "time:",
        "memory in GB a device",
    ):
        assert part in shown
    assert not (tmp_path / "runs").exists()


def test_a_plan_says_what_the_perturbations_do_to_the_rows(words, capsys):
    options, _ = read_options([*words[:2], *words[3:], "losses=dpo", "train_pairs=32,40", "suite.label_noise=0,0.25"])
    assert plan(options, silent(), "command") == 0
    shown = capsys.readouterr().out
    assert "32 or 40 training rows are used for each seed" in shown and "9 cells" in shown
    assert "suite.label_noise=0.25: 32 training rows of " in shown and "8 of them with the label reversed" in shown


@pytest.mark.slow
def test_a_plan_knows_what_is_finished(words, capsys):
    options, _ = read_options([*words, "losses=dpo"])
    run(options, silent(), "command")
    more, _ = read_options([*words, "losses=dpo,ipo"])
    capsys.readouterr()
    plan(more, silent(), "command")
    shown = capsys.readouterr().out
    assert shown.count("finished") == 3 and shown.count("to run") == 1


def test_a_plan_needs_no_weights_and_shows_memory_hours_and_cost_over_devices(words, tmp_path, capsys):
    place = tmp_path / "bare"
    shutil.copytree(folder("tiny"), place, ignore=shutil.ignore_patterns("*.safetensors"))
    words = [*[w for w in words if not w.startswith("model=")], f"model={place}", "losses=dpo", "controls=false"]
    more = ["devices=4", "device_hour_price=2.5", "device_tflops=0.000001", "micro_tokens=100"]
    options, _ = read_options([*words, *more])
    assert plan(options, silent(), "command") == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if line.startswith("memory in GB a device"))
    assert head.split()[5:] == ["policy", "reference", "gradients", "optimizer", "activations", "logits", "total"]
    named = [line for line in lines if "reference stored" in line or "second model" in line]
    assert len(named) == 5 and "in micro-batches of 100 tokens, sharded over 4 devices" in lines
    (alone,) = (line for line in lines if line.startswith("time:"))
    assert "of 1e-06 TFLOP/s" in alone and any("on 4 devices that are never idle" in line for line in lines)
    (cost,) = (line for line in lines if line.startswith("cost:"))
    expected = seconds(work(options, *_work_of(options)), assumed_rates(parameters_of(place), "cpu", "fp32", 1e-6))
    assert float(cost.split()[2].replace(",", "")) == pytest.approx(expected / 3600 * 2.5, abs=0.01)
    with pytest.raises(UsageError, match="safetensors"):
        run(read_options(words)[0], silent(), "command")
    with pytest.raises(UsageError, match="devices= is for plan alone"):
        run(options, silent(), "command")
    assert not (tmp_path / "runs").exists()


def _work_of(options):
    sweep = plan_sweep(options, resolve(options), silent())
    return sweep.data, sweep.trials


def parameters_of(place):
    return sum(p.numel() for p in empty_model(place).parameters())
