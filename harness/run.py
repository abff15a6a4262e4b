"""The story of a sweep: which cells are finished, run the others, then the report."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import reports
import results
from harness import alignment_tax
from harness.answer_tables import prompts_of
from harness.cell import describe
from harness.grid import Trial
from harness.judges import JudgeSettings
from harness.judging import judge_cells
from harness.knobs import Knobs
from harness.options import Options
from harness.progress import Progress
from harness.refusal import count_refusals
from harness.sweep import Sweep, prepare_sweep
from harness.workers import run_cells
from results import store

EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130


def run(options: Options, progress: Progress, command: str) -> int:
    """Runs a sweep and reports it; the exit code.

    Raises: UsageError, SuiteError for what cannot be run, before anything is written.
    """
    sweep = prepare_sweep(options, progress)
    alignment_tax.measure_start(sweep, progress)
    progress.expect(len(sweep.trials))
    interrupted, failures = False, []
    try:
        alignment_tax.complete(sweep, progress)
        _run_cells(sweep, progress)
        failures = _judge(sweep, progress)
    except KeyboardInterrupt:
        interrupted = True
        progress.warn("interrupted: finished cells are kept; the same command goes on from here")
    rows = _report(sweep, progress, command)
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if failures or rows is None or (rows["status"] == "failed").any() else EXIT_DONE


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
    unsaved = [best for best in _best(sweep) if not sweep.model_folder(best).is_dir()] if keep == "best" else []
    for best in unsaved:
        progress.note(f"save=best: {best.label} was finished without its model, so it is trained again")
    if unsaved:
        run_cells(sweep, unsaved, progress, lambda trial: None, save=True)


def _judge(sweep: Sweep, progress: Progress) -> list[str]:
    """Puts the finished cells' answers to the judges asked for; a sentence for each judgement that failed."""
    options = sweep.options
    if not options.judge and options.refusal == "none":
        return []
    folders = [sweep.folder(trial) for trial in sweep.trials if not trial.skip and store.is_done(sweep.folder(trial))]
    settings = JudgeSettings(suite=sweep.data.suite.name, device=sweep.machine.device).but(options.judge_settings)
    prompts, failures = prompts_of(sweep.data), []
    if options.judge:
        failures += judge_cells(
            folders, options.judge, settings.baseline, progress, prompts=prompts, settings=settings
        )
    if options.refusal != "none":
        failures += count_refusals(folders, options.refusal, progress, prompts=prompts, settings=settings)
    for failure in failures:
        progress.warn(failure)
    return failures


def _best(sweep: Sweep) -> list[Trial]:
    """The finished cell with the highest validation accuracy, controls apart, the first of equals; one for each
    setting of the knobs, because cells of unlike training rows are not ranked against each other."""
    found: dict[Knobs, Trial] = {}
    highest: dict[Knobs, float] = {}
    for trial in sweep.trials:
        if trial.control or trial.skip or not store.is_done(sweep.folder(trial)):
            continue
        accuracy = store.read_row(sweep.folder(trial)).get("validation_preference_accuracy")
        if accuracy is not None and accuracy > highest.get(trial.knobs, -1.0):
            found[trial.knobs], highest[trial.knobs] = trial, accuracy
    return list(found.values())


def _drop_beaten_models(sweep: Sweep) -> None:
    """Under save=best, drops the saved models of this sweep that are no longer a best one."""
    if sweep.options.save != "best":
        return
    best = _best(sweep)
    for trial in sweep.trials:
        if trial not in best and not trial.skip:
            shutil.rmtree(sweep.model_folder(trial), ignore_errors=True)


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
    for best in _best(sweep):
        if sweep.model_folder(best).is_dir():
            sys.stdout.write(f"model:  {sweep.model_folder(best)}\n")
    return runs
