"""Several suites as one: each part has a weight, and every row says which part it comes from.

A mixture is written `hh-rlhf*0.7+my_pairs.jsonl*0.3`; a part without a weight has weight 1. What a weight means
for the rows of a run is the harness's business. Settings name the part by its name or its place:
`suite.hh-rlhf.path=DIR`, `suite.2.subset=harmless-base`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suites.pair import SuiteError
from suites.reading.layout import stem_of
from suites.registry import names


@dataclass(frozen=True)
class Part:
    """One suite of a mixture.

    place: 1 for the first. name: of a registered suite, or a file. label: what its rows' `source` says, the
    name (of a file its stem), with subset or place behind it where two parts would have the same.
    """

    place: int
    name: str
    weight: float
    label: str


def is_mixture(text: str) -> bool:
    """Whether a suite's text names several suites; the name of a file may hold a plus sign."""
    return "+" in text and text not in names() and not os.path.isfile(os.path.expanduser(text))


def read_parts(text: str, settings: Mapping[str, str]) -> tuple[Part, ...]:
    """The parts of a mixture in order. Raises: SuiteError for a missing name or a weight that is not positive."""
    found = [_name_and_weight(piece, text) for piece in text.split("+")]
    labels = _labels([_stem(name) for name, _ in found], settings)
    return tuple(
        Part(place, name, weight, label)
        for place, ((name, weight), label) in enumerate(zip(found, labels, strict=True), start=1)
    )


def shares(text: str, settings: Mapping[str, str]) -> dict[str, float] | None:
    """The weight of each source of a mixture; None for a single suite. Raises: SuiteError."""
    return {part.label: part.weight for part in read_parts(text, settings)} if is_mixture(text) else None


def settings_of(parts: Sequence[Part], settings: Mapping[str, str]) -> dict[Part, dict[str, str]]:
    """The settings of each part; a name reaches every part that has it.

    Raises: SuiteError for a setting that names no part.
    """
    own: dict[Part, dict[str, str]] = {part: {} for part in parts}
    for key, value in settings.items():
        whose, dot, name = key.partition(".")
        meant = [part for part in parts if whose in (str(part.place), part.label, _stem(part.name))]
        if not dot or not name or not meant:
            known = ", ".join(f"{part.place} or {part.label}" for part in parts)
            raise SuiteError(
                f"suite.{key}: a setting in a mixture names its part, as in suite.{parts[0].label}.KEY=VALUE or "
                f"suite.1.KEY=VALUE; parts: {known}"
            )
        for part in meant:
            own[part][name] = value
    return own


def _labels(stems: Sequence[str], settings: Mapping[str, str]) -> list[str]:
    """Distinct names: a suite that occurs twice is told apart by the subset of its place, else by the place."""
    places = [str(place) for place in range(1, len(stems) + 1)]
    for marks in ([settings.get(f"{place}.subset", place) for place in places], places):
        labels = [f"{stem}-{mark}" if stems.count(stem) > 1 else stem for stem, mark in zip(stems, marks, strict=True)]
        if len(set(labels)) == len(labels):
            break
    return labels


def _name_and_weight(piece: str, text: str) -> tuple[str, float]:
    """`NAME*0.7`, as well `0.7*NAME`, or NAME alone. Raises: SuiteError."""
    left, star, right = piece.rpartition("*")
    readings = [(left, right), (right, left)] if star else [(piece, "1")]
    for name, weight in readings:
        number = _number(weight)
        if number is not None and name and math.isfinite(number) and number > 0:
            return name, number
    raise SuiteError(
        f"suite {text!r}: {piece!r} is no part of a mixture; write NAME*WEIGHT+NAME*WEIGHT, each weight above 0"
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _stem(name: str) -> str:
    """What a suite is called in a mixture: its name, of a file the name without folder and ending."""
    return name if name in names() else stem_of(os.path.basename(name))
