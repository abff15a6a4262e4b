"""What a search may try of a loss, and which settings it tries: points of a space that the loss declares itself.

An axis is the learning rate or a hyper-parameter with several values: those that the user gave, else those that the
model entry or the loss declares (for the learning rate a third to three times the loss's default). With one value it
is no axis and costs no trials. The n-th setting does not depend on how many are asked for, so more trials add to
finished ones, and every loss tries the same places of its own ranges.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import losses
from harness.data.perturbations import combinations
from harness.experiment.grid import baselines_of
from harness.experiment.learning_rate import default_rate, rates_around, rounded
from harness.experiment.trial import Trial
from harness.options.models import Grid, grid_of
from harness.options.run import Options
from harness.options.search import trial_count
from suites import Kind

LR = "lr"
_SCALES = (LR, "beta", "tau")  # what acts by factors, by name; in a weighted sum a name ends in it (`dpo_beta`)


@dataclass(frozen=True)
class Axis:
    """One thing that is searched: its declared values in ascending order."""

    name: str
    values: tuple[float, ...]

    @property
    def is_scale(self) -> bool:
        """Whether it acts by factors, so that its logarithm is what is uniform."""
        return any(self.name == name or self.name.endswith(f"_{name}") for name in _SCALES) and self.values[0] > 0

    def at(self, share: float) -> float:
        """The value at a share (0 to 1) of the way between its ends, at three significant digits."""
        low, high = self.values[0], self.values[-1]
        return rounded(low * (high / low) ** share if self.is_scale else low + (high - low) * share, digits=3)


@dataclass(frozen=True)
class Space:
    """The axes of a loss, and the setting from which they depart: its default, with what the user has fixed."""

    loss: str
    default: Trial
    axes: tuple[Axis, ...]

    def settings(self, options: Options, wanted: int) -> list[Trial]:
        """The first trials of a search; one alone where there is no axis."""
        seed = options.search_seed
        points = self._grid(seed) if options.search == "grid" else self._random(seed, wanted)
        return [self._trial(point) for point in points[:wanted]]

    @property
    def size(self) -> int:
        """How many settings the declared values make."""
        return int(np.prod([len(axis.values) for axis in self.axes], dtype=int))

    def _grid(self, seed: int) -> list[tuple[float, ...]]:
        """All combinations of declared values in an order that looks random."""
        points = list(itertools.product(*(axis.values for axis in self.axes)))
        return [points[place] for place in np.random.default_rng(seed).permutation(len(points))]

    def _random(self, seed: int, wanted: int) -> list[tuple[float, ...]]:
        """Quasi-random points between the ends: a scrambled Halton sequence (Owen 2017, arXiv:1706.02808)."""
        from scipy.stats import qmc

        if not self.axes:
            return [()]
        shares = qmc.Halton(len(self.axes), rng=np.random.default_rng(seed)).random(wanted)
        points = [tuple(axis.at(share) for axis, share in zip(self.axes, row, strict=True)) for row in shares]
        return list(dict.fromkeys(points))

    def _trial(self, point: Sequence[float]) -> Trial:
        values = dict(zip((axis.name for axis in self.axes), point, strict=True))
        lr = values.pop(LR, self.default.lr)
        return replace(self.default, lr=lr, hyperparameters={**self.default.hyperparameters, **values})

    def described(self) -> dict[str, Any]:
        """The space as it is recorded."""
        return {
            axis.name: {"values": list(axis.values), "scale": "log" if axis.is_scale else "linear"}
            for axis in self.axes
        }


def spaces(options: Options, *, base_lr: float, entry_grid: Grid) -> list[Space]:
    """The space of every loss, in the order they were named."""
    return [_space(losses.named(name), options, base_lr, entry_grid) for name in options.losses]


def trials_each(options: Options, found: Sequence[Space]) -> int:
    """How many settings each loss is given: those asked for, but of a grid no more than the smallest one holds."""
    sizes = [space.size for space in found if space.axes] if options.search == "grid" else []
    return min([trial_count(options), *sizes])


def proposed(options: Options, *, base_lr: float, entry_grid: Grid) -> list[Trial]:
    """The trials of a search at their full number of training rows: baselines, then the first of every loss, the
    second of every loss, and so on."""
    found = spaces(options, base_lr=base_lr, entry_grid=entry_grid)
    settings = [space.settings(options, trials_each(options, found)) for space in found]
    turns = [trial for turn in itertools.zip_longest(*settings) for trial in turn if trial is not None]
    return (baselines_of(options, base_lr, Kind.PAIRS) if options.controls else []) + turns


def _space(loss: losses.Loss, options: Options, base_lr: float, entry_grid: Grid) -> Space:
    own = options.loss_settings.get(loss.name, {})
    default_lr = default_rate(loss, base_lr, options.tuning)
    values = {LR: _values(own.get("lrs", options.lrs), rates_around(default_lr))}
    for key, default in loss.defaults.items():
        shared = options.betas if key == "beta" else None
        values[key] = _values(own.get(key, shared), grid_of(loss, key, entry_grid) or (default,))
    fixed = {key: given[0] for key, given in values.items() if len(given) == 1}
    setting = losses.check_hyperparameters(loss, {key: value for key, value in fixed.items() if key != LR})
    default = Trial(
        loss.name,
        setting,
        fixed.get(LR, default_lr),
        options.seeds[0],
        control=False,
        perturbations=combinations(options)[0],
    )
    return Space(loss.name, default, tuple(Axis(key, given) for key, given in values.items() if len(given) > 1))


def _values(asked: tuple[float, ...] | str | None, declared: tuple[float, ...]) -> tuple[float, ...]:
    """What the user gave, else what is declared, ascending and each once."""
    return tuple(sorted(set(declared if asked in (None, "grid") else asked)))
