"""The presets of `budget=`: searches of a known size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Where the user names a key, the preset leaves it alone; numbers of rows are lowered where the suite has fewer.
BUDGETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"search": "random", "trials": 3, "claim_seeds": (3,), "train_pairs": (128,), "eval_pairs": 128},
    "standard": {"search": "random", "trials": 6, "claim_seeds": (3,), "train_pairs": (512,), "eval_pairs": 256},
    "paper": {"search": "random", "trials": 16, "claim_seeds": (5,), "train_pairs": (2048,), "eval_pairs": 1000},
}
NUMBERS_OF_ROWS = {"train_pairs", "eval_pairs"}


def describe_presets() -> str:
    """What each preset sets, for the list of options."""
    texts = {name: " ".join(f"{key}={typed(value)}" for key, value in own.items()) for name, own in BUDGETS.items()}
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def typed(value: Any) -> str:
    """A value as the user would type it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
