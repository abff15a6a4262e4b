"""The alignment tax of a sweep: the start once, then what finished cells lack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.evaluation.alignment_tax import _kept, _measured, _measured_start, columns, is_measured
from harness.evaluation.lm_eval import CapabilityError
from harness.model.policy import ADAPTER
from harness.progress import Progress
from results.cells import store

if TYPE_CHECKING:
    from harness.cells.sweep import Sweep


def measure_start(sweep: Sweep, progress: Progress) -> None:
    """Measures the starting weights, unless that was done before or they are still to be made (start=sft).

    Raises: UsageError where a task cannot be measured.
    """
    identity, tasks = sweep.identity, sweep.options.lm_eval
    if not tasks or sweep.options.start != "model" or _kept(identity, tasks) is not None:
        return
    try:
        with progress.stage(f"capability of {sweep.options.model} before training", len(tasks)) as stage:
            _measured_start(identity, sweep.machine, identity.source.folder, tasks)
            stage.advance(len(tasks))
    except CapabilityError as error:
        raise UsageError([str(error)]) from None


def complete(sweep: Sweep, progress: Progress) -> None:
    """Measures finished cells that lack it from their saved models; says which must be trained again for it."""
    identity, tasks = sweep.identity, sweep.options.lm_eval
    before = _kept(identity, tasks) if tasks else None
    for trial in sweep.trials if tasks else ():
        folder = sweep.folder(trial)
        if trial.skip or not store.is_done(folder) or is_measured(store.read_row(folder), tasks):
            continue
        saved = trial.given.folder if trial.given else sweep.model_folder(trial)
        # An adapter over starting weights of our own (start=sft) lacks what it was trained on.
        lacking = not saved.is_dir() or (sweep.options.start != "model" and (saved / ADAPTER).is_file())
        if before is None or (trial.loss != "none" and lacking):
            progress.note(f"lm_eval: {trial.label} was finished without its model, so it is trained again")
            continue
        with progress.stage(f"capability of {trial.label}", len(tasks)) as stage, store.claim(folder):
            base = identity.source.folder
            after = before if trial.loss == "none" else _measured(identity, sweep.machine, saved, tasks, base)
            store.add_measurement(folder, columns(before, after, tasks))
            stage.advance(len(tasks))
