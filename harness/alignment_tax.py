"""The alignment tax of a cell: its lm-eval scores minus those of its starting weights, with standard errors.

Both are measured on the same items, so the error is that of the paired difference; where a task gives no number an
item, the two errors are added as if they were independent, which overstates it. The starting weights are measured
once, before anything is trained, and kept, so a task that cannot run is told before it costs an hour.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cache import cache_folder, writing
from harness.capability import CapabilityError, Request, Score, digest, measure
from harness.grid import digest as digest_of
from harness.machine import Machine
from harness.models import token_limit
from harness.options import UsageError
from harness.policy import ADAPTER
from harness.progress import Progress
from results import store
from results.columns import CAPABILITY_PREFIX

if TYPE_CHECKING:
    from harness.bench import Bench
    from harness.grid import Trial
    from harness.identity import Identity
    from harness.sweep import Sweep

DETAILS = "capability"  # the column with metric and items of each task


def columns(before: Sequence[Score], after: Sequence[Score], asked: Sequence[str]) -> dict[str, Any]:
    """A cell's columns: capability_<task> (after minus before), _se, _before, and `capability` with the details.

    asked: the tasks as the user named them; a folder stands for all tasks in it.
    """
    start = {score.task: score for score in before}
    found: dict[str, Any] = {}
    for score in after:
        first = start[score.task]
        name = CAPABILITY_PREFIX + score.task
        found |= {
            name: score.value - first.value,
            f"{name}_se": difference_se(first, score),
            f"{name}_before": first.value,
        }
    tasks = {score.task: {"metric": score.metric, "items": len(score.items)} for score in after}
    return found | {DETAILS: {"asked": {task: digest(task)[:12] for task in asked}, "tasks": tasks}}


def difference_se(before: Score, after: Score) -> float:
    """Standard error of after - before: sd of the items' differences / sqrt(n); NaN where it cannot be known."""
    both = sorted(before.items.keys() & after.items.keys())
    if len(both) == len(before.items) == len(after.items) and len(both) > 1:
        differences = [after.items[item] - before.items[item] for item in both]
        mean = sum(differences) / len(both)
        return math.sqrt(sum((d - mean) ** 2 for d in differences) / (len(both) - 1) / len(both))
    if before.se is None or after.se is None:
        return math.nan
    return math.hypot(before.se, after.se)


def is_measured(row: Mapping[str, Any], tasks: Sequence[str]) -> bool:
    """Whether a finished cell's row holds these tasks, in the form in which they are now."""
    details = row.get(DETAILS)
    asked = details.get("asked", {}) if isinstance(details, Mapping) else {}
    return all(asked.get(task) == digest(task)[:12] for task in tasks)


def of_cell(bench: Bench, trial: Trial) -> dict[str, Any]:
    """The columns of the cell just trained: its weights go into a folder for as long as they are measured.

    Where that fails there is a warning and no column: what was trained is worth keeping.
    """
    identity, machine, tasks = bench.identity, bench.machine, bench.options.lm_eval
    with tempfile.TemporaryDirectory(prefix="capability-") as place:
        trained, start = Path(place) / "trained", Path(place) / "start"
        if trial.given:
            trained = trial.given.folder
        elif trial.loss != "none":
            bench.policy.save(trained, bench.tokenizer)
        with bench.progress.stage(f"capability of {trial.label}", len(tasks)) as stage:
            before = _kept(identity, tasks)
            if identity.options.start != "model":
                bench.policy.end()
                bench.policy.save(start, bench.tokenizer)
            base = start if start.is_dir() else identity.source.folder
            try:
                before = before or _measured_start(identity, machine, base, tasks)
                after = before if trial.loss == "none" else _measured(identity, machine, trained, tasks, base)
            except CapabilityError as error:
                bench.progress.warn(f"{trial.label} is stored without its capability: {error}")
                return {}
            stage.advance(len(tasks))
    return columns(before, after, tasks)


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


def _measured(identity: Identity, machine: Machine, folder: Path, tasks: Sequence[str], base: Path) -> list[Score]:
    """The scores of a model's folder, or of an adapter's on the base that it was trained on."""
    is_adapter = (folder / ADAPTER).is_file()
    model, adapter = (base, str(folder)) if is_adapter else (folder, "")
    limit = max(1024, token_limit(identity.source))
    return measure(Request(str(model), adapter, tuple(tasks), machine.device, machine.threads, max_tokens=limit))


def _measured_start(identity: Identity, machine: Machine, folder: Path, tasks: Sequence[str]) -> list[Score]:
    scores = _measured(identity, machine, folder, tasks, folder)
    with writing(_path(identity, tasks)) as temporary:
        temporary.write_text(json.dumps([dataclasses.asdict(score) for score in scores]))
    return scores


def _kept(identity: Identity, tasks: Sequence[str]) -> list[Score] | None:
    """The stored scores of the starting weights; None where there are none that can be read."""
    try:
        return [Score(**score) for score in json.loads(_path(identity, tasks).read_text())]
    except (OSError, ValueError, TypeError):
        return None


def _path(identity: Identity, tasks: Sequence[str]) -> Path:
    content = [identity.weights, identity.source.tokenizer_digest, *map(digest, tasks)]
    return cache_folder("capability") / f"{digest_of(content, length=32)}.json"
