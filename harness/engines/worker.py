"""One worker: cells one after another on one model in memory, in this process or in one of its own.

A process of its own lives for many cells: the model is loaded once and its starting weights are put back bit
for bit. What it has to say (progress, the end of a cell) goes to the parent; it retires where memory or the
device has failed.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import losses
from harness.cells.cell import CellFailed, CellRunner, run_cell, store_lost
from harness.cells.estimate import Rates, seconds, work
from harness.cells.rounds import Before
from harness.cells.sweep import Sweep
from harness.compute import ranks
from harness.engines.protocol import Message
from harness.errors import memory_failure, stopping_failure
from harness.experiment.trial import Trial
from harness.progress import Progress, estimate
from harness.training.loaded_model import LoadedModel
from results.cells import store

Send = Callable[..., None]


@dataclass
class Worker:
    """Runs cells of a sweep; the model is loaded for the first of them.

    todo: all cells that the command has to run, for the time estimate. micro_tokens: a smaller micro-batch than
    the options', learnt from a worker that ran out of memory.
    """

    sweep: Sweep
    todo: Sequence[Trial]
    progress: Progress
    workers: int = 1
    micro_tokens: int | None = None
    _runner: CellRunner | None = field(default=None, init=False)

    def run(self, trial: Trial, *, save: bool) -> None:
        """One cell, from starting weights to a stored row, shown by `progress`; a failed one is shown too."""
        if not self._may_begin(trial):
            return
        runner = self._runner = self._runner or self._load()
        places = self.sweep.places(trial)
        try:
            with store.claim(places.folder):
                if not (lacks := self.sweep.missing(trial, save=save)):
                    self.progress.cell_kept(trial.label, "made by another command meanwhile")
                    return
                self.progress.cell_started(trial.label, self.sweep.steps(trial))
                row = run_cell(
                    runner,
                    trial,
                    places,
                    save=save,
                    lacks=lacks,
                    before=self._before(trial),
                    hand_on=places.weights is None and self.sweep.is_needed(trial),
                )
        except store.Claimed as error:
            self.progress.note(f"{trial.label}: left alone for now: {error}")
        except CellFailed as error:
            self.progress.cell_failed(trial.label, str(error))
        else:
            accuracy = row["preference_accuracy"]
            unpaired = accuracy is None or math.isnan(accuracy)
            summary = "unpaired rows have no accuracy" if unpaired else f"preference accuracy {accuracy:.3f}"
            self.progress.cell_finished(trial.label, summary)
        if trial.parent:
            self.sweep.forget(trial.parent)

    def _before(self, trial: Trial) -> Before | None:
        """What a later round begins with."""
        if trial.parent is None:
            return None
        places = self.sweep.places(trial.parent)
        return Before(places, places.weights)

    def _may_begin(self, trial: Trial) -> bool:
        """Whether the round before, if any, has left its weights; where it has failed, this one has too."""
        parent, sweep = trial.parent, self.sweep
        if parent is None or (store.is_done(sweep.folder(parent)) and sweep.places(parent).weights):
            return True
        failed = sweep.failure(parent)
        if store.is_done(sweep.folder(trial)):
            self.progress.note(f"{trial.label}: stays as it is: the weights of round {parent.round} are gone")
            return False
        if failed is None and not store.is_done(sweep.folder(parent)):
            self.progress.note(f"{trial.label}: left alone for now: round {parent.round} has not ended")
            return False
        why = f"failed: {failed}" if failed else "left no weights: another command removed them; run this one again"
        reason = f"round {parent.round} of this chain {why}"
        store_lost(sweep.identity, trial, sweep.folder(trial), reason)
        self.progress.cell_failed(trial.label, reason)
        return False

    def measure_reference(self) -> list[Path]:
        """Makes what all cells need of the starting weights; the files of the cache that hold it."""
        self._runner = self._runner or self._load()
        return self._runner.loaded.measure_reference(self.todo)

    @property
    def should_restart(self) -> bool:
        """Whether memory ran out here, so that a fresh process should take over."""
        return self._runner is not None and self._runner.loaded.memory_ran_out

    @property
    def fitting_tokens(self) -> int | None:
        """The micro-batch that memory held in the end."""
        return self._runner.loaded.micro_tokens if self._runner else self.micro_tokens

    def _load(self) -> CellRunner:
        """Loads the model and says how long the work will take."""
        sweep, progress = self.sweep, self.progress
        with progress.stage(f"loading {sweep.options.model}", 1):
            runner = ranks.run_on_all_ranks(
                lambda: CellRunner(
                    LoadedModel(
                        sweep.identity,
                        sweep.tokenizer,
                        sweep.machine,
                        progress,
                        workers=self.workers,
                        command=sweep.command,
                    )
                ),
                "load",
                worker_config(sweep, self.todo, 1),
            )
        loaded = runner.loaded
        if self.micro_tokens is not None:
            loaded.micro_tokens, loaded.micro_batch = self.micro_tokens, None
        amount = work(sweep.options, sweep.data, self.todo)
        rates = Rates(*ranks.run_on_all_ranks(loaded.seconds_per_token, "rates"))
        expected = seconds(amount, rates) / (self.workers * ranks.processes())
        progress.note(
            f"{len(self.todo)} of {len(sweep.trials)} cells to run on {sweep.machine.device_name}, "
            f"{sweep.machine.precision}, {loaded.layout} layout: about {estimate(expected)}"
        )
        return runner


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker gets at its start, and so does a process that follows rank 0."""

    sweep: Sweep
    todo: Sequence[Trial]
    sums: Mapping[str, Mapping[str, float]]  # weighted sums of losses, by name
    plugins: Sequence[str]
    workers: int
    micro_tokens: int | None


def worker_config(sweep: Sweep, todo: Sequence[Trial], workers: int, micro_tokens: int | None = None) -> WorkerConfig:
    """The configuration of one of `workers` workers, with the sums of losses that were made here."""
    sums = {name: dict(losses.get(name).parts) for name in losses.names() if losses.get(name).parts}
    return WorkerConfig(sweep, todo, sums, sweep.options.plugins, workers, micro_tokens)


def ending(worker: Worker, trial: Trial, *, save: bool) -> Message:
    """Runs one cell in a worker of its own; how that ended, as a message to the pool."""

    def work() -> Message:
        worker.run(trial, save=save)
        return "ended", worker.fitting_tokens, worker.should_restart

    return guarded(work)


def guarded(work: Callable[[], Message]) -> Message:
    """What `work` returns; where it raises, what that means to the pool."""
    try:
        return work()
    except Exception as error:
        memory, stopping = memory_failure(error), stopping_failure(error)
        if memory is not None:
            return "lost", memory, False
        return ("stopped", stopping) if stopping is not None else ("fault", traceback.format_exc())


def register_losses(config: WorkerConfig) -> None:
    """The losses that this process does not know from its imports: plug-ins, and sums made in the parent."""
    losses.load_entry_points()
    for source in config.plugins:
        losses.load_plugin(source)
    for name, parts in config.sums.items():
        if name not in losses.names():
            losses.combine(name, **parts)


class RemoteProgress(Progress):
    """Progress that is shown by another process."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def note(self, text: str) -> None:
        """Sends it to the parent."""
        self._send("note", text)

    def warn(self, text: str) -> None:
        """Sends it to the parent."""
        self._send("warn", text)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[RemoteStage]:
        """Sends it to the parent."""
        self._send("stage", name, total)
        yield RemoteStage(self._send)
        self._send("stage_done")

    def cell_started(self, label: str, steps: int) -> None:
        """Sends it to the parent."""
        self._send("cell_started", label, steps)

    def cell_kept(self, label: str, reason: str) -> None:
        """Sends it to the parent."""
        self._send("cell_kept", label, reason)

    def step(self, step: int, loss_value: float, tokens: int) -> None:
        """Sends it to the parent."""
        self._send("step", step, loss_value, tokens)

    def cell_finished(self, label: str, summary: str) -> None:
        """Sends it to the parent."""
        self._send("cell_finished", label, summary)

    def cell_failed(self, label: str, reason: str) -> None:
        """Sends it to the parent."""
        self._send("cell_failed", label, reason)


@dataclass
class RemoteStage:
    """A stage whose count is kept in another process."""

    _send: Send

    def advance(self, n: int = 1) -> None:
        """Sends it to the parent."""
        self._send("advance", n)
