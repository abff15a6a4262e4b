"""What a command is before a model is loaded: machine, rows, grid, names of cells, and which are finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import losses
from harness.data import Data, prepare
from harness.entries import ENTRIES
from harness.generations import VERDICTS, generation_id, questions
from harness.grid import Trial, trials
from harness.identity import Identity
from harness.logprobs import STATISTICS
from harness.machine import Machine, resolve
from harness.models import find, load_tokenizer
from harness.options import Options, UsageError
from harness.progress import Progress
from results import store

MODEL_FOLDER = "model"


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

    def model_folder(self, trial: Trial) -> Path:
        """Where the trial's trained model is kept, if it is."""
        return self.folder(trial) / MODEL_FOLDER

    def steps(self, trial: Trial) -> int:
        """Optimizer steps of the trial; 0 where nothing is trained."""
        return 0 if trial.lr is None else self.data.train_count // self.options.batch_size * self.options.epochs

    def is_finished(self, trial: Trial) -> bool:
        """Done, with all that this command asks for; a skipped trial has nothing to do."""
        if trial.skip:
            return True
        folder = self.folder(trial)
        if not store.is_done(folder):
            return False
        if not self.has_answers(trial):
            return False
        if trial.loss == "none":
            return True
        if self.options.save == "all" and not self.model_folder(trial).is_dir():
            return False
        return store.read_row(folder)["evals"] == self.options.evals

    @cached_property
    def generation(self) -> str | None:
        """The name of what this command asks models after training; None where it asks nothing."""
        return generation_id(self.options, self.data)

    def has_answers(self, trial: Trial) -> bool:
        """Whether a finished cell was asked all that this command asks (`generate=`, `judge=`)."""
        if self.generation is None:
            return True
        judged = self.options.judge == "none" or (self.folder(trial) / VERDICTS).is_file()
        return judged and store.read_row(self.folder(trial)).get("generation") == self.generation


def prepare_sweep(options: Options, progress: Progress) -> Sweep:
    """Loads everything but the weights. Raises: UsageError, SuiteError."""
    machine = resolve(options)
    source = find(options.model, options.model_revision)
    tokenizer = load_tokenizer(source)
    data = prepare(options, source, tokenizer, progress)
    questions(options, data)
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
