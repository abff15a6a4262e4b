"""What is known of each optimizer without making one: its name, its memory, its name elsewhere. No heavy import.

How one is made is in training/optimizers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OptimizerEntry:
    """An optimizer known by name.

    state_bytes: of a trained parameter, beside its weight and its gradient.
    trl: the value of `optim` in TRL's configuration.
    """

    state_bytes: int
    trl: str


DEFAULT = "adamw"

OPTIMIZERS: Mapping[str, OptimizerEntry] = {
    "adamw": OptimizerEntry(state_bytes=8, trl="adamw_torch_fused"),  # two moments, in fp32
}
