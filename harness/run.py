"""The story of a sweep: for each cell, is it finished? Else train, evaluate, store. Then the report."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import losses
import reports
import results
from harness.bench import Bench
from harness.cell import MODEL_FOLDER, CellFailed, describe, run_cell
from harness.data import Data, prepare
from harness.entries import ENTRIES
from harness.estimate import Rates, seconds, work
from harness.grid import Trial, trials
from harness.identity import Identity
from harness.logprobs import STATISTICS
from harness.machine import Machine, resolve
from harness.models import find, load_tokenizer
from harness.options import Options, UsageError
from harness.progress import Progress, estimate
from results import store

EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class Sweep:
    """Everything known about a command before a model is loaded."""

    options: Options
    machine: Machine
    tokenizer: Any
    data: Data
    identity: Identity
    trials: list[Trial]

    def folder(self, trial: Trial) -> Path:
        """Where the trial's cell lives."""
        return store.cell_folder(
            Path(self.options.out), self.data.suite.name, trial.loss, self.identity.cell_id(trial)
        )


def prepare_sweep(options: Options, progress: Progress) -> Sweep:
    """Loads everything but the weights. Raises: UsageError, SuiteError."""
    machine = resolve(options)
    source = find(options.model, options.model_revision)
    tokenizer = load_tokenizer(source)
    data = prepare(options, source, tokenizer, progress)
    identity = Identity(options, source, data, machine.precision)
    entry = ENTRIES.get(source.name)
    grid = trials(
        options, base_lr=identity.base_lr, entry_grid=entry.grid if entry else {}, kind=data.suite.kind
    )
    probe_losses(grid)
    return Sweep(options, machine, tokenizer, data, identity, grid)


def probe_losses(grid: Sequence[Trial]) -> None:
    """Tries every selected loss on random log-probs. Raises: UsageError with every loss that fails."""
    errors = []
    for name in dict.fromkeys(t.loss for t in grid if t.loss != "none" and not t.skip):
        settings = next(t.hyperparameters for t in grid if t.loss == name)
        wanted = {need.removeprefix("stats:") for need in losses.get(name).needs if need.startswith("stats:")}
        if wanted - STATISTICS.keys():
            unknown, known = ", ".join(sorted(wanted - STATISTICS.keys())), ", ".join(STATISTICS)
            errors.append(f"loss '{name}' needs stats:{unknown}, which is not computed here; statistics: {known}")
            continue
        try:
            losses.probe(losses.get(name), settings)
        except ValueError as error:
            errors.append(str(error))
    if errors:
        raise UsageError(errors)


def run(options: Options, progress: Progress, command: str) -> int:
    """Runs a sweep and reports it; the exit code.

    Raises: UsageError, SuiteError for what cannot be run, before anything is written.
    """
    sweep = prepare_sweep(options, progress)
    progress.expect(len(sweep.trials))
    interrupted = False
    try:
        _run_cells(sweep, progress)
    except KeyboardInterrupt:
        interrupted = True
        progress.warn("interrupted: finished cells are kept; the same command goes on from here")
    rows = _report(sweep, progress, command)
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if rows is None or (rows["status"] == "failed").any() else EXIT_DONE


def _run_cells(sweep: Sweep, progress: Progress) -> None:
    todo = [trial for trial in sweep.trials if not is_finished(sweep, trial)]
    bench = None
    for trial in sweep.trials:
        if trial.skip:
            _store_skipped(sweep, trial)
            progress.cell_kept(trial.label, f"skipped: {trial.skip}")
        elif trial not in todo:
            progress.cell_kept(trial.label, "finished earlier")
        else:
            bench = bench or _set_up(sweep, todo, progress)
            _run_one(sweep, bench, trial, progress, save=sweep.options.save == "all")
            _drop_beaten_models(sweep)
    trial = _best(sweep) if sweep.options.save == "best" else None
    if trial is not None and not _model_folder(sweep, trial).is_dir():
        progress.note(f"save=best: {trial.label} was finished without its model, so it is trained again")
        bench = bench or _set_up(sweep, [trial], progress)
        _run_one(sweep, bench, trial, progress, save=True)


def is_finished(sweep: Sweep, trial: Trial) -> bool:
    """Done, with all that this command asks for; a skipped trial has nothing to do."""
    if trial.skip:
        return True
    folder = sweep.folder(trial)
    if not store.is_done(folder):
        return False
    if trial.loss == "none":
        return True
    if sweep.options.save == "all" and not (folder / MODEL_FOLDER).is_dir():
        return False
    return store.read_row(folder)["evals"] == sweep.options.evals


def _set_up(sweep: Sweep, todo: Sequence[Trial], progress: Progress) -> Bench:
    """Loads the model and says how long the work will take."""
    with progress.stage(f"loading {sweep.options.model}", 1):
        bench = Bench(sweep.identity, sweep.tokenizer, sweep.machine, progress)
    amount = work(sweep.options, sweep.data, todo)
    expected = seconds(amount, Rates(*bench.seconds_per_token()))
    progress.note(
        f"{len(todo)} of {len(sweep.trials)} cells to run on {sweep.machine.device_name}, "
        f"{sweep.machine.precision}, {bench.layout} layout: about {estimate(expected)}"
    )
    return bench


def _run_one(sweep: Sweep, bench: Bench, trial: Trial, progress: Progress, *, save: bool) -> None:
    folder = sweep.folder(trial)
    try:
        with store.claim(folder):
            steps = 0 if trial.lr is None else sweep.data.train_count // sweep.options.batch_size * sweep.options.epochs
            progress.cell_started(trial.label, steps)
            row = run_cell(bench, trial, folder, save=save or sweep.options.save == "best")
    except store.Claimed as error:
        progress.cell_failed(trial.label, str(error))
    except CellFailed as error:
        progress.cell_failed(trial.label, str(error))
    else:
        progress.cell_finished(trial.label, f"preference accuracy {row['preference_accuracy']:.3f}")


def _best(sweep: Sweep) -> Trial | None:
    """The finished cell with the highest validation accuracy, controls apart; the first of equals."""
    found = None
    highest = -1.0
    for trial in sweep.trials:
        if trial.control or trial.skip or not store.is_done(sweep.folder(trial)):
            continue
        accuracy = store.read_row(sweep.folder(trial)).get("validation_preference_accuracy")
        if accuracy is not None and accuracy > highest:
            found, highest = trial, accuracy
    return found


def _model_folder(sweep: Sweep, trial: Trial) -> Path:
    return sweep.folder(trial) / MODEL_FOLDER


def _drop_beaten_models(sweep: Sweep) -> None:
    """Under save=best, drops the saved models of this sweep that are no longer the best."""
    if sweep.options.save != "best":
        return
    best = _best(sweep)
    for trial in sweep.trials:
        if trial != best and not trial.skip:
            shutil.rmtree(_model_folder(sweep, trial), ignore_errors=True)


def _store_skipped(sweep: Sweep, trial: Trial) -> None:
    row = describe(sweep.identity, trial) | {"status": "skipped", "reason": trial.skip}
    store.write_failed(sweep.folder(trial), cell=dict(sweep.identity.cell(trial)), row=row)


def _report(sweep: Sweep, progress: Progress, command: str) -> Any:
    """Writes the report of this command's cells and prints its table; None where no cell has ended."""
    place = sweep.folder(sweep.trials[0]).parent
    if not place.is_dir():
        return None
    cells = [sweep.identity.cell_id(trial) for trial in sweep.trials]
    runs = results.read(place)
    runs = runs[runs["cell"].isin(cells)]
    if runs.empty:
        return None
    paths = reports.write(place, cells=cells, command=command)
    sys.stdout.write(f"{reports.terminal(runs)}\n\nreport: {paths['report.html']}\nrepeat: {command}\n")
    best = _best(sweep)
    if best is not None and _model_folder(sweep, best).is_dir():
        sys.stdout.write(f"model:  {_model_folder(sweep, best)}\n")
    return runs
