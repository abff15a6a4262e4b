"""What a cell is: the parts that decide its trained weights, and those it shares with its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import losses
from harness.data.dataset import Data
from harness.data.perturbations import PLAIN, Perturbations, start_perturbations
from harness.digests import digest
from harness.experiment.learning_rate import Schedule, default_rate
from harness.experiment.rounds import RolloutConfig, reference_of, rollout_config
from harness.experiment.trial import Trial
from harness.model.sources import Source, base_learning_rate
from harness.options.fields import Scope, fields_in, is_changed
from harness.options.run import Options

# Raised by hand when a change of code changes trained weights or measured log-probs: finished cells and
# stored reference blocks of another number are not reused. tests/harness/experiment/test_identity.py forces it.
NUMERICS = 7

# Options of data and training that have a place of their own in an id, or in what it is made of.
PLACED = frozenset(
    (
        "suite eval_pairs max_tokens template overlong "
        "train_pairs label_noise length_balance min_margin batch_size epochs weight_decay warmup clip lr_schedule "
        "rounds reference score tuning lora_rank lora_alpha precision"
    ).split()
)

# The rows of `start=sft` are the draw of one seed, because the start is one for all cells.
START_SEED = 0


@dataclass(frozen=True)
class Identity:
    """Names the cells of one command."""

    trains: ClassVar[bool] = True

    options: Options
    source: Source
    data: Data
    precision: str

    @cached_property
    def base_lr(self) -> float:
        """The model's learning rate, before a loss's lr_scale."""
        return base_learning_rate(self.source)

    def schedule(self, lr: float) -> Schedule:
        """The schedule of a cell with this peak learning rate."""
        o = self.options
        return Schedule(lr, o.weight_decay, o.warmup, o.lr_schedule, o.clip, o.optimizer)

    @cached_property
    def _common(self) -> dict[str, Any]:
        """What every cell of this command shares, whatever its loss."""
        encoder = self.data.encoder
        return {
            "numerics": NUMERICS,
            "model": self.source.digest,
            "tokenizer": self.source.tokenizer_digest,
            "tokenisation": {
                "template": encoder.template,
                "max_tokens": encoder.max_tokens,
                "overlong": encoder.overlong,
            },
            "evaluation": {
                "validation": self.data.digest(self.data.validation),
                "test": self.data.digest(self.data.test),
            },
            "start": self.start,
            **self._further(Scope.DATA),
        }

    def _further(self, scope: Scope) -> dict[str, Any]:
        """The options of a scope that have no place of their own and are not at their defaults, by name.

        So an option that is new is a part of every id from the first, and the ids of finished cells stay.
        """
        o = self.options
        names = [name for name in fields_in(type(o), scope) if name not in PLACED and is_changed(o, name)]
        return {name: getattr(o, name) for name in names}

    def _training(self, perturbations: Perturbations) -> dict[str, Any]:
        """What every trained cell of this command with these training rows shares."""
        o = self.options
        schedule = {"weight_decay": o.weight_decay, "warmup": o.warmup, "decay": o.lr_schedule, "clip": o.clip}
        budget = {"rows": self.data.count(perturbations), "batch_size": o.batch_size, "epochs": o.epochs}
        changed = {name: value for name, value in perturbations.changed.items() if name != "train_pairs"}
        return {
            "schedule": schedule,
            "budget": budget,
            "tuning": self._tuning,
            "precision": self.precision,
            **({"knobs": changed} if changed else {}),
            **self._further(Scope.TRAINING),
        }

    @property
    def _tuning(self) -> dict[str, Any]:
        if self.options.tuning == "full":
            return {"kind": "full"}
        return {"kind": "lora", "rank": self.options.lora_rank, "alpha": self.options.lora_alpha}

    @property
    def start_lr(self) -> float:
        """The learning rate of the stage that `start=sft` puts in front."""
        return default_rate(losses.get("sft"), self.base_lr, self.options.tuning)

    @cached_property
    def start(self) -> dict[str, Any]:
        """What the starting weights are made of."""
        if self.options.start == "model":
            return {"kind": "model"}
        perturbations = start_perturbations(self.options)
        rows = self.data.training_digest(START_SEED, perturbations)
        return {
            "kind": "sft",
            "lr": self.start_lr,
            "seed": START_SEED,
            "rows": rows,
            **self._training(perturbations),
        }

    def cell(self, trial: Trial) -> Mapping[str, Any]:
        """Everything that decides the trained weights of a trial and what is measured on them."""
        identity = {**self._common, "loss": trial.loss, "hyperparameters": dict(trial.hyperparameters)}
        if trial.loss == "none":
            # Nothing is trained, but every table has its own: a row belongs to one protocol.
            return {**identity, "protocol": self.protocol}
        if trial.skip:
            return identity
        loss = losses.get(trial.loss)
        rows = self._rows(trial) if trial.parent is None else self._round(trial)
        return {
            **identity,
            **self._training(trial.perturbations),
            **rows,
            "plugin": loss.source,
            "lr": trial.lr,
            "seed": trial.seed,
        }

    def _rows(self, trial: Trial) -> dict[str, Any]:
        rows = {"train": self.data.training_digest(trial.seed, trial.perturbations)}
        if "mismatched" in losses.get(trial.loss).needs:
            rows["pool"] = self.data.pool_digest
        return {"rows": rows}

    def _round(self, trial: Trial) -> dict[str, Any]:
        """What a later round's rows follow from; they themselves are not known before the round before has ended."""
        parts = {
            "number": trial.round,
            "parent": self.cell_id(trial.parent),
            "asking": self.rollout.identity,
            "reference": reference_of(trial, self.options),
        }
        return {"round": parts}

    @cached_property
    def rollout(self) -> RolloutConfig:
        """How the later rounds sample."""
        return rollout_config(self.options, self.data)

    def cell_id(self, trial: Trial) -> str:
        """The trial's name on disk."""
        key = repr(trial)  # a digest of every training row is in it: made once, asked for many times
        if key not in self._ids:
            self._ids[key] = cell_id(self.cell(trial))
        return self._ids[key]

    @cached_property
    def _ids(self) -> dict[str, str]:
        return {}

    @cached_property
    def protocol(self) -> str:
        """The name of the table that this command's cells share: its perturbations are at their defaults."""
        shared = {**self._common, **self._training(PLAIN)}
        fields = {**shared, "suite": self.data.suite.name, "pool": self.data.pool_digest}
        return protocol_id(fields)

    @cached_property
    def weights(self) -> str:
        """A digest of the starting weights, for the reference store."""
        return digest([self.source.digest, self.start, NUMERICS], length=64)


class ExternalIdentity(Identity):
    """Names the cells of external checkpoints.

    Their budget and rows are not known, so they share a table with each other (the same evaluation rows, tokenisation
    and reference) and with no cell that was trained here; the untrained baseline is there once more, for their table.
    """

    trains: ClassVar[bool] = False

    def cell(self, trial: Trial) -> Mapping[str, Any]:
        """What decides the numbers of a trial: its weights, and the loss whose reward is used."""
        named = {"loss": trial.loss, "hyperparameters": dict(trial.hyperparameters)}
        weights = {"weights": trial.external_checkpoint.digest, "seed": trial.seed} if trial.external_checkpoint else {}
        return {**self._common, "trained": "elsewhere", **named, **weights}

    @cached_property
    def protocol(self) -> str:
        """The name of their table."""
        return protocol_id({**self._common, "trained": "elsewhere", "suite": self.data.suite.name})


# What may change without changing a trained weight; as a part of an id it would retrain finished cells.
NOT_IN_CELL = frozenset(
    {
        "commit",
        "versions",
        *fields_in(Options, Scope.COMPUTATION, Scope.MACHINE, Scope.MEASUREMENT, Scope.PLAN),
    }
)


# The declared axes are what a table compares, so cells that differ only in them share a protocol.
NOT_IN_PROTOCOL = NOT_IN_CELL | {"loss", "hyperparameters", "beta", "lr", "seed", "knobs"}


def cell_id(identity: Mapping[str, Any]) -> str:
    """The name of a cell: a digest of everything that decides its trained weights, and of nothing else.

    Raises: ValueError for a part that changes no weight (it would retrain finished cells).
    """
    _refuse("cell", identity, NOT_IN_CELL)
    return digest(identity)


def protocol_id(fields: Mapping[str, Any]) -> str:
    """The name of a table: a digest of what cells must share to be ranked together.

    Raises: ValueError for a declared axis, the seed, or a part that changes no weight.
    """
    _refuse("protocol", fields, NOT_IN_PROTOCOL)
    return digest(fields)


def _refuse(what: str, fields: Mapping[str, Any], unwanted: frozenset[str]) -> None:
    wrong = sorted(unwanted & set(fields))
    if wrong:
        raise ValueError(f"{', '.join(wrong)} must not be a part of a {what} id; leave it out and record it")
