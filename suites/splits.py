"""Which rows train, which select, which test: a pure function of the first human turn.

The seed plays no part, so every run of every loss is measured on the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from suites.pair import SuiteError

TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.1
DECLARED = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
LEAKS = "leaks_into_test"


def cluster_of(first_turn: str) -> str:
    """The cluster id of a first human turn: 16 hex digits of the sha256 of its text."""
    return _digest(first_turn).hex()[:16]


def split_of(first_turn: str) -> str:
    """70 % train, 10 % validation, 20 % test by the sha256 of the first human turn."""
    place = fraction_of(first_turn)
    if place < TRAIN_SHARE:
        return "train"
    return "validation" if place < TRAIN_SHARE + VALIDATION_SHARE else "test"


def declared_split(value: str, where: str) -> str:
    """The split that a source's own word means: valid, val and dev are validation.

    Raises: SuiteError for any other word.
    """
    split = DECLARED.get(value.strip().lower())
    if split is None:
        raise SuiteError(f"{where}: split {value!r} is not known; allowed: {', '.join(DECLARED)}")
    return split


def place_rows(first_turns: Sequence[str], declared: Sequence[str | None]) -> list[str | None]:
    """Splits for the rows of one source, given each row's first turn and the split its source names.

    A row without a declared split is placed by `split_of`. Where the source has its own train and test
    rows but no validation, a tenth of train (by the same hash) becomes validation. A train or validation
    row whose first turn also occurs in test would leak: it gets None, for the caller to drop and count.
    """
    needs_validation = "train" in declared and "test" in declared and "validation" not in declared
    splits: list[str] = []
    for turn, split in zip(first_turns, declared, strict=True):
        if split is None:
            split = split_of(turn)
        elif split == "train" and needs_validation and fraction_of(turn) < VALIDATION_SHARE:
            split = "validation"
        splits.append(split)
    tested = {turn for turn, split in zip(first_turns, splits, strict=True) if split == "test"}
    return [
        None if split != "test" and turn in tested else split for turn, split in zip(first_turns, splits, strict=True)
    ]


def fraction_of(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, evenly spread over texts."""
    return int.from_bytes(_digest(text)[:8], "big") / 2**64


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8")).digest()
