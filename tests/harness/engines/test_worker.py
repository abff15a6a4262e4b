"""One worker: what it says of a cell, when it may begin one, and what an error means to the pool."""

from __future__ import annotations

import errno
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import losses
from harness.cells.cell import CellFailed
from harness.cells.sweep import prepare_sweep
from harness.compute.machine import resolve
from harness.engines import worker as module
from harness.engines.worker import RemoteProgress, Worker, WorkerConfig, ending, guarded, register_losses, worker_config
from harness.errors import UsageError
from harness.options.lookup import read_options
from harness.progress import silent
from results.cells import store
from suites import rewards
from tests.harness.conftest import SMALL, Vowels
from tests.harness.judged import PAIRS


@pytest.fixture
def sweep(pairs_file, tmp_path):
    """A chain of two rounds of one loss."""
    rewards.register_reward("vowels")(Vowels)
    rounds = ["rounds=2", "score=gold:vowels", "max_new_tokens=8"]
    words = [f"suite={pairs_file}", *SMALL, *rounds, "losses=dpo", "controls=false", f"out={tmp_path / 'runs'}"]
    options = read_options(words).options
    yield prepare_sweep(options, resolve(options), silent())
    rewards._makers.pop("vowels")
    rewards.get.cache_clear()


@pytest.fixture
def said():
    return []


@pytest.fixture
def worker(sweep, said, monkeypatch):
    """A worker without a model, whose cells end as `outcomes` says: a row, or an error."""
    made = Worker(sweep, sweep.trials, RemoteProgress(lambda *message: said.append(message)))
    made._runner = SimpleNamespace(loaded=SimpleNamespace(memory_ran_out=False, micro_tokens=64))
    made.outcomes, made.asked = [], []

    def run_cell(runner, trial, places, **given):
        made.asked.append(given)
        outcome = made.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return {"preference_accuracy": outcome}

    monkeypatch.setattr(module, "run_cell", run_cell)
    return made


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (0.6254, "preference accuracy 0.625"),
        (None, "unpaired rows have no accuracy"),
        (math.nan, "unpaired rows have no accuracy"),
    ],
)
def test_a_finished_cell_is_told_with_its_accuracy(worker, said, accuracy, words):
    trial = worker.sweep.trials[0]
    worker.outcomes.append(accuracy)
    worker.run(trial, save=True)
    assert said == [("cell_started", trial.label, 4), ("cell_finished", trial.label, words)]
    assert worker.asked[0]["save"] and worker.asked[0]["before"] is None and worker.asked[0]["hand_on"]


def test_a_failed_cell_is_told_with_its_reason(worker, said):
    trial = worker.sweep.trials[0]
    worker.outcomes.append(CellFailed("loss is NaN at step 2"))
    worker.run(trial, save=False)
    assert said[-1] == ("cell_failed", trial.label, "loss is NaN at step 2")


def test_a_cell_that_another_command_holds_or_has_made_is_left_alone(worker, said, monkeypatch):
    trial = worker.sweep.trials[0]
    with store.claim(worker.sweep.folder(trial)):
        worker.run(trial, save=False)
    ((kind, text),) = said
    assert kind == "note" and text.startswith(f"{trial.label}: left alone for now: ")
    monkeypatch.setattr(type(worker.sweep), "missing", lambda self, trial, *, save=False: ())
    worker.run(trial, save=False)
    assert said[1:] == [("cell_kept", trial.label, "made by another command meanwhile")] and worker.asked == []


def test_a_later_round_waits_for_the_round_before(worker, said):
    second = worker.sweep.trials[1]
    worker.run(second, save=False)
    assert said == [("note", f"{second.label}: left alone for now: round 1 has not ended")]


def test_a_round_after_a_failed_one_has_failed_too_and_says_why(worker, said):
    first, second = worker.sweep.trials
    module.store_lost(worker.sweep.identity, first, worker.sweep.folder(first), "no pairs")
    worker.run(second, save=False)
    reason = "round 1 of this chain failed: no pairs"
    assert said == [("cell_failed", second.label, reason)]
    assert worker.sweep.failure(second) == reason and worker.asked == []


def test_a_round_whose_start_is_gone_has_failed_and_begins_where_it_is_there(worker, said):
    first, second = worker.sweep.trials
    before = worker.sweep.places(first)
    row = {"loss": "dpo", "cell": "abc", "protocol": "p"}
    before.folder.mkdir(parents=True)
    store.write_cell(before.folder, cell={}, row=row, pairs=PAIRS, curve=None, log="")
    worker.run(second, save=False)
    lost = "round 1 of this chain left no weights: another command removed them; run this one again"
    assert said.pop() == ("cell_failed", second.label, lost) and not said
    before.next_round.mkdir()
    worker.outcomes.append(0.5)
    worker.run(second, save=False)
    assert said[-1] == ("cell_finished", second.label, "preference accuracy 0.500")
    assert worker.asked[0]["before"].weights == before.next_round and not worker.asked[0]["hand_on"]


def test_a_worker_tells_what_memory_held_and_whether_it_should_be_replaced(worker, sweep):
    fresh = Worker(sweep, sweep.trials, silent(), micro_tokens=128)
    assert (fresh.fitting_tokens, fresh.should_restart) == (128, False)
    worker._runner.loaded.memory_ran_out = True
    assert (worker.fitting_tokens, worker.should_restart) == (64, True)
    worker.outcomes.append(0.5)
    assert ending(worker, sweep.trials[0], save=False) == ("ended", 64, True)


def fail(error: Exception):
    raise error


@pytest.mark.parametrize(
    ("error", "kind", "part"),
    [
        (MemoryError("none left"), "lost", "out of memory (MemoryError: none left)"),
        (torch.OutOfMemoryError("none left"), "lost", "out of memory (OutOfMemoryError: none left)"),
        (RuntimeError("CUDA error: an illegal access"), "lost", "RuntimeError: CUDA error: an illegal access"),
        (UsageError(["these are no weights"]), "stopped", "these are no weights"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "stopped", "/x: no space left on device"),
        (KeyError("a fault of ours"), "fault", "KeyError: 'a fault of ours'"),
    ],
)
def test_an_error_means_a_lost_worker_a_stopped_sweep_or_a_fault(error, kind, part):
    message = guarded(lambda: fail(error))
    assert message[0] == kind and part in message[1]
    assert message[2:] == ((False,) if kind == "lost" else ())


def test_what_work_returns_is_passed_on():
    assert guarded(lambda: ("ended", 7, False)) == ("ended", 7, False)


def test_a_worker_makes_the_sums_and_plug_ins_that_its_parent_made(sweep, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import losses\n@losses.register('mine_of_the_worker')\n"
        "def mine(pair: losses.PairBatch):\n    return -pair.chosen.total\n"
    )
    summed = losses.combine("dpo_and_some_sft", dpo=1.0, sft=0.2).name
    config = worker_config(sweep, sweep.trials, 3, 256)
    assert (config.todo, config.workers, config.micro_tokens) == (sweep.trials, 3, 256)
    assert dict(config.sums) == {summed: {"dpo": 1.0, "sft": 0.2}}
    losses.registry.forget(summed)
    there = WorkerConfig(sweep, sweep.trials, config.sums, (str(path),), 3, None)
    for _ in range(2):  # a sum that is known already is left as it is
        register_losses(replace(there, plugins=there.plugins if "mine_of_the_worker" not in losses.names() else ()))
    assert dict(losses.get(summed).parts) == {"dpo": 1.0, "sft": 0.2} and "mine_of_the_worker" in losses.names()


def test_progress_of_a_worker_is_sent_as_messages(said):
    progress = RemoteProgress(lambda *message: said.append(message))
    with progress.stage("loading", 3) as stage:
        stage.advance()
        stage.advance(2)
    progress.warn("careful")
    progress.step(2, 0.5, 30)
    assert said == [("stage", "loading", 3), ("advance", 1), ("advance", 2), ("stage_done",)] + [
        ("warn", "careful"),
        ("step", 2, 0.5, 30),
    ]
