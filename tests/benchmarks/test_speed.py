"""The benchmark measures both sides on the same work, and says so when it does not."""

from __future__ import annotations

import copy
import json
import math

import pytest

from benchmarks import share, step, sweep
from benchmarks.settings import read
from benchmarks.speed import main, usage
from benchmarks.task import prepare, synthetic
from benchmarks.turns import measured, ratio
from harness.data.tokens import item_of
from harness.errors import UsageError
from harness.model.layout import packed

# TRL and transformers speak of names that will go; which ones TRL uses is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated and will be removed:FutureWarning")
SMALL = [
    "suite=imdb-sentiment",
    "suite.answers=written",
    "model=tiny",
    "batch_size=4",
    "max_tokens=256",
    "device=cpu",
    "threads=1",
]


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """The tiny model is made once, and nothing of the user's cache is read or written."""
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def turns(tmp_path_factory):
    """What one turn of the part `step` finds on the tiny model, measured in this process to save three starts."""
    from benchmarks import ours, peer

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        words = [*SMALL, "losses=dpo", "controls=false", "store=false", "train_pairs=8", "eval_pairs=2"]
        found = {}
        for side, measure in ((step.OURS, ours.step), (step.FASTEST, peer.step), (step.DEFAULTS, peer.step)):
            found[side] = measure(prepare({"side": side, "words": words, "micro": 2}))
    return [found]


@pytest.mark.parametrize("share, opening", share.CASES.values(), ids=share.CASES)
def test_synthetic_rows_have_the_share_of_prompt_and_the_common_opening_asked_for(share, opening):
    rows = synthetic(6, share, 220, 1000, opening)
    assert {len(row.prompt) for row in rows} == {round(220 * share)}
    assert {sum(map(len, row.completions)) for row in rows} == {220 - round(220 * share)}
    assert packed([item_of(row) for row in rows], pad=0).shared_prefix == opening


def turn_of(**sides: list[float]) -> dict:
    """A turn whose steps took these seconds for two pairs each."""
    return {name: {"steps": [{"seconds": s, "pairs": 2} for s in seconds]} for name, seconds in sides.items()}


def test_both_sides_train_on_the_same_ids_and_begin_at_the_same_log_probs(turns):
    ours, *theirs = (turns[0][name] for name in (step.OURS, step.FASTEST, step.DEFAULTS))
    for other in theirs:
        assert [s["digest"] for s in other["steps"]] == [s["digest"] for s in ours["steps"]]
        assert other["loss"] == pytest.approx(ours["loss"], abs=1e-3) == pytest.approx(math.log(2), abs=1e-3)
        assert other["chosen_logp"] == pytest.approx(ours["chosen_logp"], rel=1e-3)
    assert [other["layout"] for other in theirs] == ["2 x 2", "4 x 1"]
    for side in (ours, *theirs):
        assert all(s["seconds"] > 0 and s["cpu_seconds"] > 0 for s in side["steps"])
        assert side["peak_memory_bytes"] > 50e6


def test_the_checks_fail_where_a_side_saw_other_rows_or_another_model(turns):
    assert [line.split(":")[0] for line in step.checks(turns)] == ["check passed"] * 3
    other = copy.deepcopy(turns)
    other[0][step.FASTEST]["steps"][1]["digest"] = "another"
    other[0][step.DEFAULTS]["loss"] += 0.1
    other[0][step.DEFAULTS]["chosen_logp"] *= 1.05
    assert [line.split(":")[0] for line in step.checks(other)] == ["check FAILED"] * 3


def test_a_ratio_pairs_steps_within_a_turn_and_leaves_the_warm_up_out():
    # A minute in which everything takes ten times as long falls on both sides and changes no ratio.
    turns = [turn_of(ours=[99, 1, 2], trl=[1, 4, 10]), turn_of(ours=[99, 10, 20], trl=[1, 40, 60])]
    assert ratio(turns, "trl", "ours", "seconds") == (4.0, 3.0, 5.0, 4)


def test_a_failed_side_is_named_and_gives_no_ratio():
    found = measured({"side": "nobody", "words": SMALL})
    assert "KeyError: 'nobody'" in found["error"]
    turns = [turn_of(ours=[1, 1]) | {"trl": found}]
    assert ratio(turns, "trl", "ours", "seconds") is None


@pytest.mark.slow
def test_every_loss_of_the_sweep_runs_through_its_trainer_of_trl():
    from benchmarks import peer_cells

    cells = [[loss, 0.1, 1e-6] for loss in sweep.LOSSES]
    words = [*SMALL, "losses=dpo", "controls=false", "store=false", "train_pairs=4", "eval_pairs=2"]
    found = peer_cells.cells(prepare({"words": words, "micro": 2, "cells": cells}))
    first = {cell["loss"]: cell["first_loss"] for cell in found["cells"]}
    # At the start: -log sigmoid(0), (0 - 1/(2 beta))^2, and 1/2 for a completion as good as the reference point.
    assert first["dpo"] == pytest.approx(math.log(2), abs=1e-3)
    assert first["ipo"] == pytest.approx(25, abs=0.1)
    assert first["kto"] == pytest.approx(0.5, abs=1e-2)
    # Reference-free: near the values of equal mean log-probs, -log sigmoid(-gamma) with gamma 0.5, and
    # the negative log-likelihood of random bytes, about ln 256, plus beta times ln 2.
    assert first["simpo"] == pytest.approx(math.log1p(math.exp(0.5)), abs=0.1)
    assert first["orpo"] == pytest.approx(math.log(256) + 0.1 * math.log(2), rel=0.2)
    assert all(cell["train_seconds"] > 0 and cell["evaluation_seconds"] > 0 for cell in found["cells"])


@pytest.mark.slow
def test_the_command_prints_a_table_a_part_and_keeps_the_raw_numbers(tmp_path, capsys):
    out = tmp_path / "raw.json"
    assert main([*SMALL, "parts=step,limit", "turns=1", "steps=2", "trl_micro=2", f"out={out}"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("check passed") == 3 and "share of our step that its products alone would need" in printed
    assert all(f"| {name} |" in printed for name in (step.OURS, step.FASTEST, step.DEFAULTS))
    assert set(json.loads(out.read_text())) >= {"step", "limit", "commit", "words"}


def test_words_that_cannot_be_carried_out_are_refused_before_anything_runs(capsys):
    with pytest.raises(UsageError) as refused:
        read([*SMALL, "parts=stepp", "losses=dpo", "turns=0", "modle=tiny"])
    assert len(refused.value.messages) == 4
    assert main(["turns=0", *SMALL]) == 2
    assert "turns" in capsys.readouterr().err


def test_help_names_every_key_of_its_own():
    for key in ("parts", "turns", "steps", "cells", "peak_tflops", "out"):
        assert f"  {key}=" in usage()
