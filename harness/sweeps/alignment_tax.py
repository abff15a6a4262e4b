"""The alignment tax of a sweep: the start once, then what finished cells lack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.evaluation.alignment_tax import DETAILS, columns, kept_scores, measure_starting_weights, scores_of
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
    if not tasks or sweep.options.start != "model" or kept_scores(identity, tasks) is not None:
        return
    try:
        with progress.stage(f"capability of {sweep.options.model} before training", len(tasks)) as stage:
            measure_starting_weights(identity, sweep.machine, identity.source.folder, tasks)
            stage.advance(len(tasks))
    except CapabilityError as error:
        raise UsageError([str(error)]) from None


def complete(sweep: Sweep, progress: Progress) -> None:
    """Measures finished cells that lack it from their saved models; says which must be trained again for it."""
    identity, tasks = sweep.identity, sweep.options.lm_eval
    before = kept_scores(identity, tasks) if tasks else None
    for trial in sweep.trials if tasks else ():
        if all(one.column != DETAILS for one in sweep.missing(trial).measurements):
            continue
        places = sweep.places(trial)
        saved = places.model_of(trial)
        # An adapter over starting weights of our own (start=sft) lacks what it was trained on.
        lacking = not saved.is_dir() or (sweep.options.start != "model" and (saved / ADAPTER).is_file())
        if before is None or (trial.loss != "none" and lacking):
            progress.note(f"lm_eval: {trial.label} was finished without its model, so it is trained again")
            continue
        with progress.stage(f"capability of {trial.label}", len(tasks)) as stage, store.claim(places.folder):
            base = identity.source.folder
            after = before if trial.loss == "none" else scores_of(identity, sweep.machine, saved, tasks, base)
            store.add_measurement(places.folder, columns(before, after, tasks))
            stage.advance(len(tasks))
