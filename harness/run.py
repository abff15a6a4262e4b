"""The story of a sweep: which cells are finished, run the others, then the report."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import reports
import results
from harness.audits import audited, record
from harness.cell import describe
from harness.grid import Trial
from harness.options import Options, UsageError
from harness.progress import Progress
from harness.sweep import Sweep, prepare_sweep
from harness.workers import run_cells
from results import store

EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130


def run(options: Options, progress: Progress, command: str) -> int:
    """Runs a sweep and reports it; the exit code.

    Raises: UsageError, SuiteError for what cannot be run, before anything is written.
    """
    if options.show:
        raise UsageError([f"show={options.show}: only `plan` prints rows; write plan in place of run, or drop show="])
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
    todo = [trial for trial in sweep.trials if not sweep.is_finished(trial)]
    for trial in sweep.trials:
        if trial.skip:
            _store_skipped(sweep, trial)
            progress.cell_kept(trial.label, f"skipped: {trial.skip}")
        elif trial not in todo:
            progress.cell_kept(trial.label, "finished earlier")
    keep = sweep.options.save
    run_cells(sweep, todo, progress, lambda trial: _drop_beaten_models(sweep), save=keep in ("all", "best"))
    best = _best(sweep) if keep == "best" else None
    if best is not None and not sweep.model_folder(best).is_dir():
        progress.note(f"save=best: {best.label} was finished without its model, so it is trained again")
        run_cells(sweep, [best], progress, lambda trial: None, save=True)


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


def _drop_beaten_models(sweep: Sweep) -> None:
    """Under save=best, drops the saved models of this sweep that are no longer the best."""
    if sweep.options.save != "best":
        return
    best = _best(sweep)
    for trial in sweep.trials:
        if trial != best and not trial.skip:
            shutil.rmtree(sweep.model_folder(trial), ignore_errors=True)


def _store_skipped(sweep: Sweep, trial: Trial) -> None:
    row = describe(sweep.identity, trial) | {"status": "skipped", "reason": trial.skip}
    store.write_failed(sweep.folder(trial), cell=dict(sweep.identity.cell(trial)), row=row)


def _store_audit(sweep: Sweep, place: Path, progress: Progress) -> None:
    """Keeps what was found about the rows beside the cells that used them, once for each protocol."""
    protocol = sweep.identity.protocol
    if protocol not in results.audits(place):
        store.write_audit(place, protocol, record(sweep.data, audited(sweep.data, progress)))


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
    _store_audit(sweep, place, progress)
    paths = reports.write(place, cells=cells, command=command)
    sys.stdout.write(f"{reports.terminal(runs)}\n\nreport: {paths['report.html']}\nrepeat: {command}\n")
    best = _best(sweep)
    if best is not None and sweep.model_folder(best).is_dir():
        sys.stdout.write(f"model:  {sweep.model_folder(best)}\n")
    return runs
