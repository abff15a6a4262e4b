"""From options to trials: which loss is trained at which setting, what is skipped and why, and the ids.

A trial says only what varies within one sweep. What else decides the trained weights (rows, model,
schedule ...) is gathered by identity.py, which names a cell by `cell_id` and its table by `protocol_id`.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import losses
from harness.data.perturbations import combinations
from harness.experiment.kinds import reason_to_skip
from harness.experiment.learning_rate import default_rate, rates_around
from harness.experiment.trial import Trial
from harness.options.models import Grid, grid_of
from harness.options.run import Options
from suites import Kind


def trials(options: Options, *, base_lr: float, entry_grid: Grid, kind: Kind) -> list[Trial]:
    """Every trial of a sweep: baselines first, then seed by seed, for each perturbation by perturbation of the training
    rows, losses in the order they were named. The rounds of a trial follow each other.

    base_lr:    the model's learning rate, before a loss's lr_scale and the factor for LoRA.
    entry_grid: the model entry's grids; they come before those that the losses declare.
    kind:       what the suite holds; a pairwise loss cannot learn from single rated completions.
    Raises: ValueError for a setting that a loss does not have (options/lookup.py reports these earlier and better).
    """
    baselines = baselines_of(options, base_lr, kind) if options.controls else []
    runnable, skipped = [], []
    for name in options.losses:
        loss = losses.named(name)
        reason = reason_to_skip(loss, kind)
        if reason:
            skipped.append(Trial(loss.name, dict(loss.defaults), None, None, control=False, skip=reason))
        else:
            runnable.append((loss, _settings(loss, options, entry_grid), _rates(loss, options, base_lr)))
    asked = [
        Trial(loss.name, setting, lr, seed, control=False, perturbations=perturbations)
        for seed, perturbations in itertools.product(options.seeds, combinations(options))
        for loss, settings, rates in runnable
        for setting, lr in itertools.product(settings, rates)
    ]
    first = baselines + [trial for trial in asked + skipped if not _is_among(trial, baselines)]
    return [one for trial in first for one in _rounds(trial, options.rounds)]


def _rounds(trial: Trial, count: int) -> list[Trial]:
    """The rounds of a trial; what is not trained has one."""
    return [replace(trial, round=number) for number in range(1, count + 1)] if trial.lr is not None else [trial]


def baselines_of(options: Options, base_lr: float, kind: Kind) -> list[Trial]:
    """The untrained model once, and sft at its default learning rate for each seed and draw of rows."""
    untrained = Trial("none", {}, None, None, control=True)
    sft = losses.get("sft")
    defaults = dict(sft.defaults)
    reason = reason_to_skip(sft, kind)
    if reason:
        return [untrained, Trial("sft", defaults, None, None, control=True, skip=reason)]
    lr = default_rate(sft, base_lr, options.tuning)
    return [untrained] + [
        Trial("sft", defaults, lr, seed, control=True, perturbations=perturbations)
        for seed, perturbations in itertools.product(options.seeds, combinations(options))
    ]


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


def _is_among(trial: Trial, baselines: list[Trial]) -> bool:
    """Whether a baseline already trains exactly this."""
    return any(
        (trial.loss, trial.hyperparameters, trial.lr, trial.seed, trial.perturbations)
        == (one.loss, one.hyperparameters, one.lr, one.seed, one.perturbations)
        for one in baselines
    )
