"""The story of a sweep: which cells are finished, run the others, then the report."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import reports
import results
from harness.cells.columns import describe
from harness.cells.sweep import Sweep, prepare_sweep
from harness.compute.machine import device_here
from harness.compute.ranks import ProcessesLost
from harness.data.audits import audited, record
from harness.data.perturbations import Perturbations, combinations
from harness.engines.run import machine_of, run_cells
from harness.errors import SweepStopped, UsageError, storage_failure
from harness.evaluation.completion_tables import prompts_of
from harness.evaluation.finished import Finished
from harness.evaluation.measurements import of_completions, registered
from harness.experiment.rounds import describe_rounds
from harness.experiment.trial import Trial
from harness.options.checks import launch_problems, plan_problems
from harness.options.judges import JudgeSettings
from harness.options.run import Options
from harness.options.search import describe_budget
from harness.progress import Progress
from harness.sweeps.alignment_tax import complete, measure_start
from harness.sweeps.search import Stage, describe_search, outlook, stages
from results.cells import store
from results.cells.searches import CLAIM

EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130
SECONDS_BETWEEN_LOOKS = 0.3  # at the locks of another command


def run(options: Options, progress: Progress, command: str) -> int:
    """Runs a sweep and reports it; the exit code.

    Raises: UsageError, SuiteError for what cannot be run, before anything is written.
    """
    if problems := plan_problems(options) + launch_problems(options):
        raise UsageError(problems)
    return carry_out(prepare_sweep(options, machine_of(options, progress), progress, command), progress)


def carry_out(sweep: Sweep, progress: Progress) -> int:
    """Runs the cells of a sweep that are not finished, and reports all of them; the exit code.

    Raises: UsageError where nothing can be written.
    """
    _require_writable(Path(sweep.options.out))
    if sweep.options.engine == "local":  # else a machine that runs cells measures its own start
        measure_start(sweep, progress)
    _announce(sweep, progress)
    interrupted = stopped = False
    failures: list[str] = []
    rows = None
    try:
        for stage in stages(sweep):
            sweep = stage.sweep
            _begin(stage, progress)
            if sweep.options.engine == "local":
                complete(sweep, progress)
            _run_cells(sweep, stage.fresh, progress)
        failures = _measure_completions(sweep, progress)
    except KeyboardInterrupt:
        interrupted = True
        progress.warn("interrupted: finished cells are kept; the same command goes on from here")
    except (SweepStopped, ProcessesLost) as error:
        stopped = True
        progress.warn(f"stopped: {error}")
    try:
        rows = _report(sweep, progress)
    except OSError as error:
        stopped = True
        progress.warn(f"no report: {storage_failure(error) or error}")
    if interrupted:
        return EXIT_INTERRUPTED
    finished = rows is not None and not stopped and not failures
    return EXIT_DONE if finished and all(map(sweep.is_finished, outlook(sweep).trials)) else EXIT_FAILED


def _require_writable(out: Path) -> None:
    """Tries to write where the results will go. Raises: UsageError, with nothing left behind."""
    place = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"0")
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise UsageError([f"out={out}: nothing can be written in {place} ({reason}); name another folder"]) from None


def _announce(sweep: Sweep, progress: Progress) -> None:
    """Says what a preset and a search mean here, before the first step."""
    budget = [describe_budget(sweep.options)] if sweep.options.budget != "none" else []
    searched = describe_search(sweep) if sweep.options.search != "none" else []
    for line in [*budget, *searched]:
        progress.note(line)
    progress.expect(len(outlook(sweep).trials))


def _begin(stage: Stage, progress: Progress) -> None:
    """Tells what was decided, and writes it down before a cell that follows from it is run."""
    for line in stage.news:
        progress.note(line)
    if stage.record is not None:
        store.write_search(stage.sweep.place, stage.record)


def _run_cells(sweep: Sweep, trials: Sequence[Trial], progress: Progress) -> None:
    todo = []
    for trial in trials:
        if trial.skip:
            _store_skipped(sweep, trial)
            progress.cell_kept(trial.label, f"skipped: {trial.skip}")
        elif sweep.is_finished(trial):
            _tidy(sweep, trial)
            progress.cell_kept(trial.label, "finished earlier")
        elif sweep.options.retry == "none" and (reason := sweep.failure(trial)) is not None:
            progress.cell_kept(trial.label, f"failed earlier: {reason}; retry=failed runs it again")
        else:
            todo.append(trial)
    _tell_retrained(sweep, todo, progress)
    keep = sweep.options.save
    if todo and (said := describe_rounds(sweep.options, sweep.data)):
        progress.note(said)
    _run_beside_others(sweep, todo, progress, save=keep in ("all", "best"))
    unsaved = [best for best in _best(sweep) if not sweep.places(best).model.is_dir()] if keep == "best" else []
    for best in unsaved:
        progress.note(f"save=best: {best.label} was finished without its model, so it is trained again")
    if unsaved:
        run_cells(sweep, unsaved, progress, lambda trial: None, save=True)


def _measure_completions(sweep: Sweep, progress: Progress) -> list[str]:
    """Judges and measures the completions of finished cells, as asked; a sentence for each failure."""
    options, data = sweep.options, sweep.data
    if not (asked := of_completions(options, data)):
        return []
    folders = [sweep.folder(trial) for trial in sweep.trials if not trial.skip and store.is_done(sweep.folder(trial))]
    settings = JudgeSettings(suite=data.suite.name, device=device_here(sweep.machine.device))
    finished = Finished(folders, options, prompts_of(data), settings.but(options.judge_settings), progress)
    failures = [failure for one in asked for failure in one.make(finished)]
    for failure in failures:
        progress.warn(failure)
    return failures


def _tidy(sweep: Sweep, trial: Trial) -> None:
    """Removes what a process killed right after it stored the cell left in its folder."""
    places = sweep.places(trial)
    store.clear_dead(places.folder)
    if store.holder(places.folder) is None:
        places.drop_checkpoints()
        sweep.forget(trial)


def _run_beside_others(sweep: Sweep, todo: Sequence[Trial], progress: Progress, *, save: bool) -> None:
    """Runs the cells; those that another command of this host is at work on are waited for, and run if it dies."""
    while todo:
        run_cells(sweep, todo, progress, _dropping_beaten_models(sweep), save=save)
        # A cell that is stored but lacks a measurement was ours, and the measurement failed: it is not tried again.
        left = [t for t in todo if not store.is_done(sweep.folder(t)) and sweep.failure(t) is None]
        todo = _without_other_hosts(sweep, left, progress)
        if todo:
            progress.note(f"waiting for another command that is at work on {len(todo)} of these cells")
            _wait_until_one_is_free(sweep, todo)


def _without_other_hosts(sweep: Sweep, trials: Sequence[Trial], progress: Progress) -> list[Trial]:
    """The trials without those at work on another host, which cannot be waited for, and the rounds that follow them."""
    holders = {sweep.folder(trial): store.holder(sweep.folder(trial)) for trial in trials}
    foreign = [trial for trial in trials if (who := holders[sweep.folder(trial)]) and not who.is_here]
    for trial in foreign:
        progress.cell_kept(trial.label, f"not run: {holders[sweep.folder(trial)]} is at work on it")
    return [trial for trial in trials if not any(step in foreign for step in trial.chain)]


def _wait_until_one_is_free(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Returns when nobody holds one of the cells; a round waits for the one before, and where that is another's, so is
    the wait."""
    first = [trial for trial in trials if trial.parent not in trials]
    while all(store.holder(sweep.folder(trial)) for trial in first):
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _tell_retrained(sweep: Sweep, todo: Sequence[Trial], progress: Progress) -> None:
    """Says which finished cells are trained again because their completions are asked for and their model is gone."""
    for trial in todo:
        if sweep.missing(trial).unasked:
            progress.note(
                f"{_asked_of_policies(sweep)}: {trial.label} was finished without its model, so it is trained again; "
                "save=all keeps models"
            )


def _asked_of_policies(sweep: Sweep) -> str:
    """The options that ask a policy something."""
    asked = [one.option for one in registered("policy") if one.wanted(sweep.options, sweep.data) is not None]
    return " ".join(f"{option}={getattr(sweep.options, option)}" for option in asked)


def _best(sweep: Sweep, among: Sequence[Trial] | None = None) -> list[Trial]:
    """The finished cell with the highest validation accuracy, baselines apart, the first of equals; one for each
    perturbation and round, because cells of unlike training rows are not ranked against each other. The cut training
    rows of successive halving are no such perturbation."""
    found: dict[tuple[Perturbations, int], Trial] = {}
    highest: dict[tuple[Perturbations, int], float] = {}
    asked = combinations(sweep.options)
    for trial in sweep.trials if among is None else among:
        if trial.control or trial.skip or trial.perturbations not in asked or not store.is_done(sweep.folder(trial)):
            continue
        accuracy = store.read_row(sweep.folder(trial)).get("validation_preference_accuracy")
        kind = trial.perturbations, trial.round
        if accuracy is not None and accuracy > highest.get(kind, -1.0):
            found[kind], highest[kind] = trial, accuracy
    return list(found.values())


def _dropping_beaten_models(sweep: Sweep) -> Callable[[Trial], None]:
    """What, under save=best, drops the saved models that are no longer a best one each time a cell has ended.

    All cells are looked at once, here; then only the one that has ended is held against the best so far.
    """
    if sweep.options.save != "best":
        return lambda trial: None
    best: list[Trial] = []

    def hold(rivals: Sequence[Trial]) -> None:
        best[:] = _best(sweep, rivals)
        for beaten in rivals:
            if beaten not in best and not sweep.is_needed(beaten):
                shutil.rmtree(sweep.places(beaten).model, ignore_errors=True)

    hold([trial for trial in sweep.trials if not trial.skip])
    return lambda ended: hold([t for t in sweep.trials if t in (ended, ended.parent) or t in best])


def _store_skipped(sweep: Sweep, trial: Trial) -> None:
    row = describe(sweep.identity, trial) | {"status": "skipped", "reason": trial.skip}
    store.write_failed(sweep.folder(trial), cell=dict(sweep.identity.cell(trial)), row=row)


def _store_audit(sweep: Sweep, place: Path, progress: Progress) -> None:
    """Keeps what was found about the rows beside the cells that used them, once for each protocol."""
    protocol = sweep.identity.protocol
    if protocol not in results.audits(place):
        store.write_audit(place, protocol, record(sweep.data, audited(sweep.data, progress)))


def _report(sweep: Sweep, progress: Progress) -> Any:
    """Writes the report of this command's cells and prints its table; None where no cell has ended."""
    place = sweep.place
    if not place.is_dir():
        return None
    cells = [sweep.identity.cell_id(trial) for trial in sweep.trials]
    try:
        runs = results.read(place)
    except FileNotFoundError:  # stopped in the first cell
        return None
    runs = runs[runs["cell"].isin(cells)]
    if runs.empty:
        return None
    _store_audit(sweep, place, progress)
    paths = reports.write(place, cells=cells, command=sweep.command)
    sys.stdout.write(f"{_table(sweep, runs)}\n\nreport: {paths['report.html']}\nrepeat: {sweep.command}\n")
    for best in _best(sweep):
        if (model := sweep.places(best).model).is_dir():
            sys.stdout.write(f"model:  {model}\n")
    return runs


def _table(sweep: Sweep, runs: Any) -> str:
    """The table of this command's cells; after a search that of its confirmation, with the verdicts."""
    confirmed = runs[(runs["stage"] == CLAIM) & (runs["status"] == "done") & ~runs["control"].astype(bool)]
    if sweep.options.search == "none" or confirmed.empty:
        return reports.terminal(runs, folder=sweep.place)
    shown = reports.terminal(runs[runs["stage"] == CLAIM])
    try:
        return f"{shown}\n\n\n{reports.comparison(results.compare(sweep.place))}"
    except ValueError:  # a confirmation of one setting, or cut off before its second
        return shown
