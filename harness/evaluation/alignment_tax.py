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
from harness.compute.machine import Machine
from harness.digests import digest
from harness.evaluation.lm_eval import CapabilityError, Request, Score, measure
from harness.evaluation.measurements import measurement
from harness.model.policy import ADAPTER
from harness.model.sources import token_limit
from harness.options.tasks import task_digest
from results.schema.row import CAPABILITY_PREFIX

if TYPE_CHECKING:
    from harness.experiment.identity import Identity
    from harness.experiment.trial import Trial
    from harness.training.loaded_model import LoadedModel

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
    return found | {DETAILS: {"asked": {task: task_digest(task)[:12] for task in asked}, "tasks": tasks}}


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


def holds_tasks(details: Any, tasks: Sequence[str]) -> bool:
    """Whether the details in a finished cell's row name these tasks, in the form in which they are now."""
    asked = details.get("asked", {}) if isinstance(details, Mapping) else {}
    return all(asked.get(task) == task_digest(task)[:12] for task in tasks)


@measurement(column=DETAILS, option="lm_eval", needs="model", is_held=holds_tasks)
def of_cell(loaded: LoadedModel, trial: Trial) -> dict[str, Any]:
    """The columns of the cell just trained: its weights go into a folder for as long as they are measured.

    Where that fails there is a warning and no column: what was trained is worth keeping.
    """
    identity, machine, tasks = loaded.identity, loaded.machine, loaded.options.lm_eval
    with tempfile.TemporaryDirectory(prefix="capability-") as place:
        trained, start = Path(place) / "trained", Path(place) / "start"
        if trial.external_checkpoint:
            trained = trial.external_checkpoint.folder
        elif trial.loss != "none":
            loaded.policy.save(trained, loaded.tokenizer)
        with loaded.progress.stage(f"capability of {trial.label}", len(tasks)) as stage:
            before = kept_scores(identity, tasks)
            if identity.options.start != "model":
                loaded.policy.end()
                loaded.policy.save(start, loaded.tokenizer)
            base = start if start.is_dir() else identity.source.folder
            try:
                before = before or measure_starting_weights(identity, machine, base, tasks)
                after = before if trial.loss == "none" else scores_of(identity, machine, trained, tasks, base)
            except CapabilityError as error:
                loaded.progress.warn(f"{trial.label} is stored without its capability: {error}")
                return {}
            stage.advance(len(tasks))
    return columns(before, after, tasks)


def scores_of(identity: Identity, machine: Machine, folder: Path, tasks: Sequence[str], base: Path) -> list[Score]:
    """The scores of a model's folder, or of an adapter's on the base that it was trained on."""
    is_adapter = (folder / ADAPTER).is_file()
    model, adapter = (base, str(folder)) if is_adapter else (folder, "")
    limit = max(1024, token_limit(identity.source))
    return measure(Request(str(model), adapter, tuple(tasks), machine.device, machine.threads, max_tokens=limit))


def measure_starting_weights(identity: Identity, machine: Machine, folder: Path, tasks: Sequence[str]) -> list[Score]:
    """The scores of the starting weights in a folder, kept for every later cell."""
    scores = scores_of(identity, machine, folder, tasks, folder)
    with writing(_path(identity, tasks)) as temporary:
        temporary.write_text(json.dumps([dataclasses.asdict(score) for score in scores]))
    return scores


def kept_scores(identity: Identity, tasks: Sequence[str]) -> list[Score] | None:
    """The stored scores of the starting weights; None where there are none that can be read."""
    try:
        return [Score(**score) for score in json.loads(_path(identity, tasks).read_text())]
    except (OSError, ValueError, TypeError):
        return None


def _path(identity: Identity, tasks: Sequence[str]) -> Path:
    content = [identity.weights, identity.source.tokenizer_digest, *map(task_digest, tasks)]
    return cache_folder("capability") / f"{digest(content, length=32)}.json"
