"""The alignment tax: paired errors, what is measured again, what is trained again."""

from __future__ import annotations

import math

import numpy as np
import pytest

import results
from harness.errors import UsageError
from harness.evaluation import alignment_tax
from harness.evaluation.lm_eval import CapabilityError, Score


def scored(values, se=None, task="everyday"):
    return Score(task, "acc", float(np.mean(values)), se, {str(i): float(v) for i, v in enumerate(values)})


def test_the_error_of_a_difference_is_that_of_the_paired_items():
    before, after = scored([1, 0, 0, 1, 1, 0]), scored([1, 1, 0, 1, 0, 1])
    differences = np.array([0, 1, 0, 0, -1, 1])
    wanted = differences.std(ddof=1) / math.sqrt(6)
    assert alignment_tax.difference_se(before, after) == pytest.approx(wanted)
    assert alignment_tax.difference_se(before, before) == 0.0


def test_without_items_the_errors_add_up_and_without_errors_there_is_none():
    before, after = Score("t", "ppl", 2.0, 0.3, {}), Score("t", "ppl", 2.5, 0.4, {})
    assert alignment_tax.difference_se(before, after) == pytest.approx(0.5)
    assert math.isnan(alignment_tax.difference_se(before, Score("t", "ppl", 2.5, None, {})))


def test_columns_hold_the_change_its_error_and_where_it_began():
    found = alignment_tax.columns([scored([1, 1, 0, 0])], [scored([1, 0, 0, 0])], ["everyday"])
    assert (found["capability_everyday"], found["capability_everyday_before"]) == (-0.25, 0.5)
    assert found["capability_everyday_se"] == pytest.approx(0.25)
    details = found["capability"]
    assert alignment_tax.holds_tasks(details, ["everyday"]) and not alignment_tax.holds_tasks(details, ["hellaswag"])
    assert alignment_tax.holds_tasks(None, []) and not alignment_tax.holds_tasks(None, ["everyday"])


@pytest.fixture
def requests(monkeypatch):
    """Every request that would be measured, answered with a score that falls with each."""
    asked = []

    def measure(request):
        asked.append(request)
        return [scored([1.0] * (10 - len(asked)) + [0.0] * len(asked), task=task) for task in request.tasks]

    monkeypatch.setattr(alignment_tax, "measure", measure)
    return asked


def test_each_cell_is_measured_beside_its_start_and_a_second_command_measures_nothing(
    command, requests, tmp_path, monkeypatch
):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    assert command("losses=dpo", "lm_eval=everyday").code == 0
    assert len(requests) == 3  # the start once, sft, dpo
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert runs.loc["none", "capability_everyday"] == 0.0 and runs.loc["none", "capability_everyday_se"] == 0.0
    assert runs.loc["sft", "capability_everyday"] == pytest.approx(-0.1)
    assert runs.loc["dpo", "capability_everyday"] == pytest.approx(-0.2)
    assert (runs["capability_everyday_before"] == 0.9).all()
    assert command("losses=dpo", "lm_eval=everyday").trained == [] and len(requests) == 3
    for kept in (tmp_path / "cache" / "capability").iterdir():
        kept.write_text("")  # as a power cut leaves it: measured again, and no error
    assert command("losses=dpo", "lm_eval=everyday").code == 0


@pytest.mark.slow
def test_asked_for_later_it_needs_the_model_saved_or_trained_again(command, requests, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    command("losses=dpo", "controls=false", "save=all", out="kept")
    command("losses=dpo", "controls=false", out="lost")
    kept = command("losses=dpo", "controls=false", "lm_eval=everyday", out="kept")
    assert kept.trained == [] and requests[-1].model.endswith("/model")
    lost = command("losses=dpo", "controls=false", "lm_eval=everyday", out="lost")
    assert lost.trained == ["dpo"] and any("trained again" in line for line in lost.lines)
    for out in ("kept", "lost"):
        (row,) = results.read(tmp_path / out).to_dict("records")
        assert row["capability_everyday_before"] == 0.9 and row["capability_everyday"] < 0


@pytest.mark.parametrize("start", ["model", "sft"])
def test_an_adapter_is_measured_on_the_weights_that_it_was_trained_on(command, requests, start, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    command("losses=dpo", "controls=false", "tuning=lora", f"start={start}", "lm_eval=everyday", out=start)
    last = requests[-1]
    assert last.adapter and ("capability-" in last.model) == (start == "sft")


def test_a_task_that_cannot_be_measured_is_told_before_anything_is_trained(command, monkeypatch, tmp_path):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))

    def broken(request):
        raise CapabilityError("no network")

    monkeypatch.setattr(alignment_tax, "measure", broken)
    with pytest.raises(UsageError, match="no network"):
        command("losses=dpo", "lm_eval=everyday")
    assert not (tmp_path / "runs").exists()


def test_a_failure_after_training_keeps_what_was_trained(command, monkeypatch, tmp_path):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    calls = []

    def once(request):
        calls.append(request)
        if len(calls) > 1:
            raise CapabilityError("out of memory")
        return [scored([1.0, 0.0])]

    monkeypatch.setattr(alignment_tax, "measure", once)
    told = command("losses=dpo", "controls=false", "lm_eval=everyday")
    (row,) = results.read(tmp_path / "runs").to_dict("records")
    assert row["status"] == "done" and any("stored without its capability" in line for line in told.lines)
