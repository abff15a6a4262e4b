"""Recipes for a GPU and the hub: read from `recipes/*.yaml`, checked, and run where there is what they need.

A recipe holds one or several settings (a model with its data); each becomes one sweep, whose losses carry the paper's
hyper-parameters or its search grid. Our judge is not theirs, so what is compared is the order of the losses, never
their figures: Kendall's tau between the published ranking and our validation accuracy.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.options.parsers import unknown
from harness.reproduce.frame import REPORTED, Check, Request, order

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
NAMES = (
    "simpo-table4",
    "daa-blur-3b",
    "pref-tuning-scan",
    "zephyr-dpo",
    "dpo-hh-tldr",
    "orpo-ifeval",
    "kto-gsm8k",
    "tulu3-preference",
    "olmo-displacement",
)
KEYS = ("what", "paper", "source", "protocol", "notes", "tolerance", "pairs", "tokens_per_pair", "common", "settings")
SETTING_KEYS = ("model", "revision", "parameters", "options", "losses", "expected")
GPU_RATE = 989e12  # operations a second of one H100 in bf16 without sparsity, by its data sheet


@dataclass(frozen=True)
class Setting:
    """One model and its data: options as argv, hyper-parameters (and lrs) by loss, expected figures by loss.

    revision: the model's commit, None where the paper names none. An expected figure is NaN where it was published
    as a picture only. pairs: training pairs, as published.
    """

    name: str
    model: str
    revision: str | None
    parameters: float
    pairs: int
    options: tuple[str, ...]
    losses: Mapping[str, Mapping[str, tuple[float, ...]]]
    expected: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class HubRecipe:
    """A published table to be trained anew. tokens_per_pair: prompt and both completions, an estimate."""

    name: str
    what: str
    paper: str
    source: str
    protocol: str
    notes: tuple[str, ...]
    tolerance: Mapping[str, float]
    tokens_per_pair: float
    common: tuple[str, ...]
    settings: tuple[Setting, ...]

    @property
    def gpu_memory_gib(self) -> float:
        """What full tuning of the largest model holds in fp32: weights, the start, gradients, two moments."""
        return max(5 * 4 * setting.parameters for setting in self.settings) / 2**30

    @property
    def gpu_hours(self) -> float:
        """Training time of every trial on one H100: 6 operations a parameter and token at a third of its rate."""
        tokens = [
            trials(setting) * setting.pairs * self.tokens_per_pair * self.epochs(setting) for setting in self.settings
        ]
        work = math.fsum(6 * s.parameters * t for s, t in zip(self.settings, tokens, strict=True))
        return work / (GPU_RATE / 3) / 3600

    def epochs(self, setting: Setting) -> int:
        """Passes over the pairs, from the options."""
        given = [word.partition("=")[2] for word in (*self.common, *setting.options) if word.startswith("epochs=")]
        return int(given[0]) if given else 1

    def argv(self, setting: Setting, losses: tuple[str, ...], out: str) -> list[str]:
        """The command line of a setting's sweep, as typed after `run`."""
        argv = [*setting.options, *self.common, f"model={setting.model}", f"losses={','.join(losses)}", f"out={out}"]
        if setting.revision:
            argv.append(f"model_revision={setting.revision}")
        if not any(word.startswith("train_pairs=") for word in argv):
            argv.append(f"train_pairs={setting.pairs}")
        for loss in losses:
            for key, values in setting.losses[loss].items():
                argv.append(f"{loss}.{key}={','.join(f'{value:g}' for value in values)}")
        return argv


def trials(setting: Setting) -> int:
    """Training runs of a setting: every combination of every loss."""
    return sum(math.prod(map(len, values.values())) for values in setting.losses.values())


@cache
def read_recipe(name: str) -> HubRecipe:
    """A recipe from its file. Raises: ValueError naming what is missing or unknown in it."""
    import yaml

    data = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    _require(data, KEYS, name)
    for setting, fields in data["settings"].items():
        _require(fields, SETTING_KEYS, f"{name}, {setting}", optional=("pairs",))
        if unnamed := set(fields["expected"]) - set(fields["losses"]):
            raise ValueError(f"{name}, {setting}: figures of losses that it does not train: {sorted(unnamed)}")
    settings = tuple(_setting(key, fields, data["pairs"]) for key, fields in data["settings"].items())
    return HubRecipe(
        name,
        data["what"],
        data["paper"],
        data["source"],
        data["protocol"],
        tuple(data["notes"]),
        data["tolerance"],
        float(data["tokens_per_pair"]),
        tuple(data["common"]),
        settings,
    )


def _require(data: Mapping[str, Any], keys: tuple[str, ...], where: str, optional: tuple[str, ...] = ()) -> None:
    wrong = sorted(set(keys) ^ (set(data) - set(optional)))
    if wrong:
        raise ValueError(f"{where}: missing or unknown: {', '.join(wrong)}; a recipe has: {', '.join(keys)}")


def _setting(name: str, fields: Mapping[str, Any], pairs: int) -> Setting:
    losses = {
        loss: {key: tuple(map(float, listed)) for key, listed in values.items()}
        for loss, values in fields["losses"].items()
    }
    expected = {
        loss: {key: math.nan if value is None else float(value) for key, value in figures.items()}
        for loss, figures in fields["expected"].items()
    }
    return Setting(
        name,
        fields["model"],
        fields["revision"],
        float(fields["parameters"]),
        int(fields.get("pairs", pairs)),
        tuple(fields["options"]),
        losses,
        expected,
    )


def card(name: str) -> list[tuple[str, str]]:
    """What a recipe's file says beyond the catalogue, as (field, text): protocol, known errors, commands."""
    recipe = read_recipe(name)
    commands = [
        (f"setting {setting.name}", f"plan {shlex.join(recipe.argv(setting, tuple(setting.losses), 'runs'))}")
        for setting in recipe.settings
    ]
    return [("source", recipe.source), ("protocol", recipe.protocol), *(("note", n) for n in recipe.notes), *commands]


def missing(recipe: HubRecipe) -> list[str]:
    """What this machine lacks for the recipe, in sentences; empty where it can be tried."""
    import torch

    import suites

    lacking = []
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30 if torch.cuda.is_available() else 0.0
    if memory < recipe.gpu_memory_gib:
        seen = f"one of {memory:.0f} GiB" if memory else "none"
        lacking.append(f"a GPU of {recipe.gpu_memory_gib:.0f} GiB for full tuning (here: {seen})")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        lacking.append("the hub, for model and data (HF_HUB_OFFLINE is set)")
    asked = {word.removeprefix("suite=") for s in recipe.settings for word in s.options if word.startswith("suite=")}
    lacking += [f"the suite {name!r}, which is not here" for name in sorted(asked - set(suites.names()))]
    return lacking


def run_recipe(recipe: HubRecipe, request: Request) -> list[Check]:
    """Train every setting's sweep and compare the order of its losses with the published one.

    Raises: UsageError for an unknown row, or with everything that this machine lacks.
    """
    known = list(dict.fromkeys(loss for setting in recipe.settings for loss in setting.losses))
    if unnamed := [row for row in request.rows if row not in known]:
        raise UsageError([unknown(f"row of {recipe.name}", row, known) for row in unnamed])
    if lacking := missing(recipe):
        hours = f"about {recipe.gpu_hours:.0f} GPU hours for all of it"
        raise UsageError([f"{recipe.name} needs {'; '.join(lacking)}. It is {hours}. Its protocol: {recipe.protocol}"])
    checks = []
    for setting in recipe.settings:
        losses = tuple(loss for loss in setting.losses if not request.rows or loss in request.rows)
        if losses:
            checks += _run_setting(recipe, setting, losses, request)
    return checks


def _run_setting(recipe: HubRecipe, setting: Setting, losses: tuple[str, ...], request: Request) -> list[Check]:
    """One sweep: our best validation accuracy of each loss beside its published figure, and the two orders."""
    from harness.reproduce.phenomena.sweeps import measure

    argv = recipe.argv(setting, losses, str(request.out / recipe.name / setting.name))
    runs = measure(argv, request.progress, at_most="train_pairs").rows
    best = runs.groupby("loss")["validation_preference_accuracy"].max()
    metric = next(iter(recipe.tolerance))
    figures = {loss: setting.expected.get(loss, {}).get(metric, math.nan) for loss in losses}
    note = f"{metric} there, {setting.model}; another judge, so the order alone is compared"
    checks = [
        Check(
            loss,
            f"{setting.name}: accuracy",
            f"{figures[loss]:g}",
            float(best.get(loss, math.nan)),
            "-",
            REPORTED,
            note,
        )
        for loss in losses
    ]
    ranked = [loss for loss in losses if not math.isnan(figures[loss]) and loss in best.index]
    if len(ranked) > 1:
        checks.append(order(setting.name, "Kendall tau", [figures[x] for x in ranked], [best[x] for x in ranked]))
    return checks
