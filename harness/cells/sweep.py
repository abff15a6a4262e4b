"""What a command is before a model is loaded: machine, rows, grid, names of cells, and which are finished."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import losses
from harness.cells.inputs import rows_planned, rows_to_train_on
from harness.cells.missing import Missing
from harness.cells.places import Places, places_of
from harness.compute.machine import Machine
from harness.data.dataset import Data
from harness.data.perturbations import eligible
from harness.data.selection import values_of
from harness.data.tokens import check_ids
from harness.errors import UsageError
from harness.evaluation.completions import questions
from harness.evaluation.measurements import lacking, wanted
from harness.experiment.grid import trials
from harness.experiment.identity import Identity
from harness.experiment.rounds import check_rounds, check_score
from harness.experiment.spaces import proposed
from harness.experiment.trial import Trial
from harness.model.logprobs import STATISTICS
from harness.model.sources import Source, find, load_tokenizer
from harness.model.weights import require_whole
from harness.options.models import ENTRIES
from harness.options.run import Options
from harness.progress import Progress
from results.cells import store
from suites import Kind


@dataclass(frozen=True)
class Sweep:
    """Everything known about a command before a model is loaded."""

    options: Options
    machine: Machine
    tokenizer: Any
    data: Data
    identity: Identity
    trials: list[Trial]
    command: str = ""

    def places(self, trial: Trial) -> Places:
        """Where the trial's cell lives. Raises: UsageError where a symbolic link would lead elsewhere."""
        return places_of(self.options.out, self.data.suite.name, trial.loss, self.identity.cell_id(trial))

    def folder(self, trial: Trial) -> Path:
        """The folder of the trial's cell. Raises: as `places`."""
        return self.places(trial).folder

    @property
    def place(self) -> Path:
        """The suite's folder, which holds the cells."""
        return self.folder(self.trials[0]).parent

    def next_round(self, trial: Trial) -> Trial | None:
        """The trial that begins where this one ends; None after the last round, and where nothing is trained."""
        is_last = trial.lr is None or trial.round >= self.options.rounds
        return None if is_last else replace(trial, round=trial.round + 1)

    def is_needed(self, trial: Trial) -> bool:
        """Whether a next round has yet to be trained from this trial's model."""
        following = self.next_round(trial)
        if following is None or self.is_finished(following):
            return False
        return self.options.retry == "failed" or self.failure(following) is None

    def forget(self, trial: Trial) -> None:
        """Drops the model that was kept for a next round, once no round needs it."""
        if not self.is_needed(trial):
            shutil.rmtree(self.places(trial).next_round, ignore_errors=True)

    def steps(self, trial: Trial) -> int:
        """Optimizer steps of the trial; 0 where nothing is trained."""
        if trial.lr is None:
            return 0
        return self.data.count(trial.perturbations) // self.options.batch_size * self.options.epochs

    def missing(self, trial: Trial, *, save: bool = False) -> Missing:
        """What the trial's cell lacks of all that this command asks for, with `save` its model too; nothing where it
        is finished, or skipped."""
        if trial.skip:
            return Missing()
        places = self.places(trial)
        if not store.is_done(places.folder):
            return Missing(parts=("row",))
        row = store.read_row(places.folder)
        measurements = tuple(lacking(row, self._wanted))
        if trial.loss == "none":
            return Missing(measurements)
        parts = {
            "evals": row["evals"] != self.options.evals,
            "model": (save or self.options.save == "all") and not places.model.is_dir(),
            "weights": places.weights is None and self.is_needed(trial),
        }
        has_model = places.model_of(trial).is_dir()
        return Missing(measurements, tuple(part for part, lacks in parts.items() if lacks), has_model)

    def is_finished(self, trial: Trial) -> bool:
        """Done, with all that this command asks for."""
        return not self.missing(trial)

    def failure(self, trial: Trial) -> str | None:
        """Why the trial failed in an earlier command; None where it did not."""
        try:
            row = store.read_row(self.folder(trial))
        except (OSError, ValueError):
            return None
        return str(row.get("reason")) if row.get("status") == "failed" else None

    @cached_property
    def _wanted(self) -> dict[str, Any]:
        return wanted(self.options, self.data)


def prepare_sweep(options: Options, machine: Machine, progress: Progress, command: str = "") -> Sweep:
    """Loads everything but the weights; `command` is recorded. Raises: UsageError, SuiteError."""
    check_score(options)
    source = find(options.model, options.model_revision)
    require_whole(source)
    tokenizer = load_tokenizer(source)
    data = rows_to_train_on(options, source, tokenizer, progress)
    return _sweep(options, machine, source, tokenizer, data, command)


def plan_sweep(options: Options, machine: Machine, progress: Progress, command: str = "") -> Sweep:
    """As `prepare_sweep`, but no weights are needed and no completions sampled. Raises: UsageError, SuiteError."""
    check_score(options)
    source = find(options.model, options.model_revision, weights_needed=False)
    tokenizer = load_tokenizer(source)
    data = rows_planned(options, source, tokenizer, progress)
    return _sweep(options, machine, source, tokenizer, data, command)


def _sweep(options: Options, machine: Machine, source: Source, tokenizer: Any, data: Data, command: str) -> Sweep:
    check_ids(source, chain(data.pool, data.validation, data.test), tokenizer)
    questions(options, data)
    check_rounds(options, data)
    identity = Identity(options, source, data, machine.precision)
    entry = ENTRIES.get(source.name)
    base_lr, entry_grid = identity.base_lr, entry.grid if entry else {}
    if options.search == "none":
        grid = trials(options, base_lr=base_lr, entry_grid=entry_grid, kind=data.suite.kind)
    else:
        _require_searchable(options, data)
        grid = proposed(options, base_lr=base_lr, entry_grid=entry_grid)
    probe_losses(grid)
    _require_scores(grid, data)
    return Sweep(options, machine, tokenizer, data, identity, grid, command)


def _require_searchable(options: Options, data: Data) -> None:
    """Raises: UsageError where there is nothing to select by."""
    if data.suite.kind is not Kind.PAIRS or not data.validation:
        why = "holds single rated completions" if data.suite.kind is not Kind.PAIRS else "has no validation pairs"
        raise UsageError(
            [
                f"search={options.search} selects by preference accuracy on validation pairs, and "
                f"suite={options.suite} {why}; leave out search="
            ]
        )


def _require_scores(grid: Sequence[Trial], data: Data) -> None:
    """Raises: UsageError where a loss reads ratings and a row that may be drawn for it carries none."""
    reading = [t for t in grid if t.loss != "none" and not t.skip and "scores" in losses.get(t.loss).needs]
    for name, perturbations in dict.fromkeys((t.loss, t.perturbations) for t in reading):
        rated = [scores is not None for scores in values_of(eligible(data.pool, perturbations), "scores")]
        if not all(rated):
            raise UsageError(
                [
                    f"loss '{name}' needs scores, and {rated.count(False)} of {len(rated)} training rows of "
                    f"{data.suite.name} carry none; give a file with score_chosen and score_rejected for every pair, "
                    "or leave the loss out"
                ]
            )


def probe_losses(grid: Sequence[Trial]) -> None:
    """Tries every selected loss on random log-probs, at all settings. Raises: UsageError with every one that fails."""
    errors = []
    tried = [t for t in grid if t.loss != "none" and not t.skip]
    for loss in map(losses.get, dict.fromkeys(t.loss for t in tried)):
        wanted = {need.removeprefix("stats:") for need in loss.needs if need.startswith("stats:")}
        if wanted - STATISTICS.keys():
            unknown, known = ", ".join(sorted(wanted - STATISTICS.keys())), ", ".join(STATISTICS)
            errors.append(f"loss '{loss.name}' needs stats:{unknown}, which is not computed here; statistics: {known}")
            continue
        settings = {tuple(t.hyperparameters.items()): t.hyperparameters for t in tried if t.loss == loss.name}
        try:
            first, *others = settings.values()
            losses.probe(loss, first)
            for other in others:
                losses.probe_settings(loss, other)
        except ValueError as error:
            errors.append(str(error))
    if errors:
        raise UsageError(errors)
