"""From options to trials: which loss is trained at which setting, what is skipped and why, and the ids.

A trial says only what varies within one sweep. What else decides the trained weights (rows, model,
schedule ...) is gathered by run.py, which names a cell by `cell_id` and its table by `protocol_id`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import losses
from harness.entries import LORA_LR_FACTOR, Grid
from harness.knobs import PLAIN, Knobs, combinations, shown
from harness.options import Options

if TYPE_CHECKING:
    from harness.models import Source

ID_LENGTH = 12  # hex digits of a sha256

# What may change without changing a trained weight; as a part of an id it would retrain finished cells.
NOT_IN_CELL = frozenset(
    {
        "commit",
        "versions",
        "device",
        "threads",
        "micro_batch",
        "micro_tokens",
        "layout",
        "workers",
        "engine",
        "out",
        "store",
        "activation_checkpointing",
    }
)
# The declared axes are what a table compares, so cells that differ only in them share a protocol.
NOT_IN_PROTOCOL = NOT_IN_CELL | {"loss", "hyperparameters", "beta", "lr", "seed", "knobs"}


@dataclass(frozen=True)
class Trial:
    """One training run to do: a loss at one setting and seed; `none` is the untrained control. Or a model that was
    trained elsewhere and is measured only.

    hyperparameters holds all of the loss's values. lr and seed are None where nothing is trained.
    skip is the reason why the trial cannot run, or "". knobs are those of its training rows. given is the model that
    was trained elsewhere; loss is then what it was trained with, or a name for it that no loss has. round is 1, or a
    later one that goes on from the weights of the round before (rounds.py).
    """

    loss: str
    hyperparameters: Mapping[str, float]
    lr: float | None
    seed: int | None
    control: bool
    skip: str = ""
    knobs: Knobs = PLAIN
    given: Source | None = None
    round: int = 1

    @property
    def parent(self) -> Trial | None:
        """The round before; None for the first."""
        return replace(self, round=self.round - 1) if self.round > 1 else None

    @property
    def chain(self) -> list[Trial]:
        """All rounds up to this one, the first in front."""
        return [*(self.parent.chain if self.parent else []), self]

    @property
    def label(self) -> str:
        """The trial in one short line: `dpo beta=0.1 lr=1e-05 seed=0 label_noise=0.2`."""
        parts = [f"{name}={value:g}" for name, value in self.hyperparameters.items()]
        parts += [f"lr={self.lr:g}"] if self.lr is not None else []
        parts += [f"seed={self.seed}"] if self.seed is not None else []
        parts += [f"{name}={shown(value)}" for name, value in self.knobs.changed.items()]
        parts += [f"model={self.given.name}"] if self.given else []
        parts += [f"round={self.round}"] if self.round > 1 else []
        return " ".join([self.loss, *parts])


def trials(options: Options, *, base_lr: float, entry_grid: Grid, kind: Literal["pairs", "examples"]) -> list[Trial]:
    """Every trial of a sweep: controls first, then seed by seed, for each knobs by knobs of the training rows,
    losses in the order they were named. The rounds of a trial follow each other.

    base_lr:    the model's learning rate, before a loss's lr_scale and the factor for LoRA.
    entry_grid: the model entry's grids; they come before those that the losses declare.
    kind:       what the suite holds; a pairwise loss cannot learn from single rated answers.
    Raises: ValueError for a setting that a loss does not have (names.py reports these earlier and better).
    """
    controls = controls_of(options, base_lr, kind) if options.controls else []
    runnable, skipped = [], []
    for name in options.losses:
        loss = losses.named(name)
        reason = _reason_to_skip(loss, kind)
        if reason:
            skipped.append(Trial(loss.name, dict(loss.defaults), None, None, control=False, skip=reason))
        else:
            runnable.append((loss, _settings(loss, options, entry_grid), _rates(loss, options, base_lr)))
    asked = [
        Trial(loss.name, setting, lr, seed, control=False, knobs=knobs)
        for seed, knobs in itertools.product(options.seeds, combinations(options))
        for loss, settings, rates in runnable
        for setting, lr in itertools.product(settings, rates)
    ]
    first = controls + [trial for trial in asked + skipped if not _is_among(trial, controls)]
    return [one for trial in first for one in _rounds(trial, options.rounds)]


def _rounds(trial: Trial, count: int) -> list[Trial]:
    """The rounds of a trial; what is not trained has one."""
    return [replace(trial, round=number) for number in range(1, count + 1)] if trial.lr is not None else [trial]


def grid_of(loss: losses.Loss, key: str, entry_grid: Grid) -> tuple[float, ...] | None:
    """The values that `grid` stands for: the model entry's, else the loss's own, else None."""
    return entry_grid.get(loss.name, {}).get(key) or loss.grid.get(key)


def default_rate(loss: losses.Loss, base_lr: float, tuning: str) -> float:
    """The learning rate of a loss where the user names none."""
    factor = LORA_LR_FACTOR if tuning == "lora" else 1.0
    return rounded(base_lr * loss.lr_scale * factor, digits=6)


def rates_around(default: float) -> tuple[float, ...]:
    """The three learning rates that `grid` stands for."""
    return tuple(rounded(default * factor, digits=2) for factor in (1 / 3, 1, 3))


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, floats in their shortest exact form.

    Raises: ValueError for NaN or infinity, TypeError for keys that are not text or values JSON lacks.
    """
    _require_text_keys(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, length: int = ID_LENGTH) -> str:
    """The first hex digits of the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()[:length]


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


def controls_of(options: Options, base_lr: float, kind: str) -> list[Trial]:
    """The untrained model once, and sft at its default learning rate for each seed and draw of rows."""
    untrained = Trial("none", {}, None, None, control=True)
    sft = losses.get("sft")
    defaults = dict(sft.defaults)
    reason = _reason_to_skip(sft, kind)
    if reason:
        return [untrained, Trial("sft", defaults, None, None, control=True, skip=reason)]
    lr = default_rate(sft, base_lr, options.tuning)
    return [untrained] + [
        Trial("sft", defaults, lr, seed, control=True, knobs=knobs)
        for seed, knobs in itertools.product(options.seeds, combinations(options))
    ]


def _reason_to_skip(loss: losses.Loss, kind: str) -> str:
    if loss.kind == "pairwise" and kind == "examples":
        return f"{loss.name} compares two answers to one prompt, and this suite holds single rated answers"
    return ""


def _settings(loss: losses.Loss, options: Options, entry_grid: Grid) -> list[dict[str, float]]:
    """Every combination of the loss's hyper-parameters, those not named at their defaults."""
    asked = {key: values for key, values in options.loss_settings.get(loss.name, {}).items() if key != "lrs"}
    if options.betas is not None and "beta" in loss.defaults:
        asked.setdefault("beta", options.betas)
    order = {key: place for place, key in enumerate(loss.defaults)}
    keys = sorted(asked, key=lambda key: order.get(key, len(order)))
    lists = {key: _listed(loss, key, asked[key], entry_grid) for key in keys}
    return [
        losses.check_hyperparameters(loss, dict(zip(lists, combination, strict=True)))
        for combination in itertools.product(*lists.values())
    ]


def _listed(loss: losses.Loss, key: str, values: Any, entry_grid: Grid) -> tuple[float, ...]:
    """The values of one hyper-parameter, the word grid replaced by what it stands for."""
    if values != "grid":
        return values
    declared = grid_of(loss, key, entry_grid)
    if declared is None:
        raise ValueError(f"{loss.name} declares no grid for {key!r}; write {loss.name}.{key}=VALUE,VALUE")
    return declared


def _rates(loss: losses.Loss, options: Options, base_lr: float) -> tuple[float, ...]:
    """The learning rates of a loss: its own list, the shared one as given, or its default."""
    asked = options.loss_settings.get(loss.name, {}).get("lrs", options.lrs)
    default = default_rate(loss, base_lr, options.tuning)
    if asked is None:
        return (default,)
    return rates_around(default) if asked == "grid" else asked


def _is_among(trial: Trial, controls: list[Trial]) -> bool:
    """Whether a control already trains exactly this."""
    return any(
        (trial.loss, trial.hyperparameters, trial.lr, trial.seed, trial.knobs)
        == (control.loss, control.hyperparameters, control.lr, control.seed, control.knobs)
        for control in controls
    )


def rounded(number: float, digits: int) -> float:
    """A number at so many significant digits, so that products of equal factors have equal ids."""
    return float(f"{number:.{digits - 1}e}")


def _refuse(what: str, fields: Mapping[str, Any], unwanted: frozenset[str]) -> None:
    wrong = sorted(unwanted & set(fields))
    if wrong:
        raise ValueError(f"{', '.join(wrong)} must not be a part of a {what} id; leave it out and record it")


def _require_text_keys(value: Any) -> None:
    """JSON turns number keys into text silently, so two values could share one text: refuse them."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} of an identity is not text; write it as text")
            _require_text_keys(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _require_text_keys(inner)
