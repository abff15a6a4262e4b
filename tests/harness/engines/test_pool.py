"""The pool on an engine that plays a script: who gets what, and what becomes of lost workers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.engines import pool
from harness.engines.pool import Pool
from harness.engines.protocol import WorkerFault
from harness.errors import SweepStopped
from harness.progress import Progress, Silent


class Script:
    """An engine whose workers end every cell at once, but for what `acts` says: (slot, cell) -> messages."""

    attempts = 2

    def __init__(self, slots: int, acts: dict | None = None, ready: bool = True) -> None:
        self.slots, self.acts, self.is_ready = slots, acts or {}, ready
        self.said, self.begun, self.started, self.dismissed = [], [], [], []

    def start(self, slot, micro_tokens):
        self.started.append((slot, micro_tokens))
        return self.is_ready

    def give(self, slot, trial, *, save):
        self.begun.append(trial.label)
        acts = self.acts.get(trial.label, [])
        self.said.append((slot, acts.pop(0) if acts else ("ended", None, False)))

    def listen(self):
        said, self.said = self.said, []
        return said

    def dismiss(self, slot, *, ask):
        self.dismissed.append((slot, ask))


@pytest.fixture
def made(monkeypatch):
    """A pool for trials of these names; `made.ended` and `made.failed` fill as it runs."""
    ended, failed, display = [], [], Silent()
    sweep = SimpleNamespace(
        identity=SimpleNamespace(cell_id=lambda trial: trial.label),
        folder=lambda trial: trial.label,
        options=SimpleNamespace(micro_tokens=None),
    )
    monkeypatch.setattr(pool, "store_lost", lambda identity, trial, folder, cause: failed.append((folder, cause)))

    def run(engine: Script, *names: str) -> None:
        trials = [SimpleNamespace(label=name, parent=None) for name in names]
        with Progress(display) as progress:
            Pool(sweep, trials, progress, lambda trial: ended.append(trial.label), save=False).run(engine)

    return SimpleNamespace(run=run, ended=ended, failed=failed, lines=display.lines)


def test_every_cell_is_run_once_and_every_worker_ended(made):
    engine = Script(2)
    made.run(engine, "a", "b", "c")
    assert sorted(made.ended) == sorted(engine.begun) == ["a", "b", "c"] and made.failed == []
    assert sorted(engine.dismissed) == [(0, True), (1, True)]


def test_a_lost_cell_is_begun_again_and_fails_when_its_attempts_are_used_up(made):
    engine = Script(1, {"a": [("lost", "gone", False)], "b": [("lost", "gone", False), ("lost", "gone again", False)]})
    made.run(engine, "a", "b", "c")
    assert engine.begun == ["a", "a", "b", "b", "c"] and made.ended == ["a", "b", "c"]
    assert made.failed == [("b", "gone again")]


def test_the_second_death_of_a_worker_on_a_cell_halves_the_micro_batch_and_the_first_changes_no_bit(made):
    engine = Script(1, {"a": [("lost", "killed", True), ("lost", "killed", True)]})
    engine.attempts = 3
    made.run(engine, "a", "b")
    assert engine.started == [(0, None), (0, None), (0, 1024)] and made.failed == []


def test_a_worn_worker_is_replaced_before_the_next_cell(made):
    engine = Script(1, {"a": [("ended", 512, True)]})
    made.run(engine, "a", "b")
    assert engine.started == [(0, None), (0, 512)]


def test_a_worker_gets_cells_when_it_says_that_it_is_ready(made):
    engine = Script(2, ready=False)
    engine.said = [(1, ("ready",))]
    made.run(engine, "a", "b")
    assert made.ended == ["a", "b"] and engine.dismissed == [(0, True), (1, True)]


def test_workers_that_never_come_up_stop_the_sweep(made):
    engine = Script(1, ready=False)
    engine.listen = lambda: [(0, ("lost", "no such library", False))]
    with pytest.raises(SweepStopped, match="no worker comes up: no such library"):
        made.run(engine, "a")
    assert len(engine.started) == engine.attempts and engine.begun == []


@pytest.mark.parametrize(("word", "error"), [("stopped", SweepStopped), ("fault", WorkerFault)])
def test_what_ends_a_sweep_ends_the_workers_too(word, error, made):
    engine = Script(2, {"a": [(word, "why")]})
    with pytest.raises(error, match="why"):
        made.run(engine, "a", "b")
    assert len(engine.dismissed) == 2
