"""Draws the strip of a row's accuracies in its table row: its accuracy with its error, and by completion length.

It carries no colour of its own: the page's style sheet gives it the ink and the loss's colour.
"""

from collections.abc import Mapping
from typing import Any

import numpy
import pandas

from reports.text import numbers

_STRIP_WIDTH, _STRIP_HEIGHT = 100.0, 18.0


def strip_range(rows: pandas.DataFrame) -> tuple[float, float]:
    """The accuracies that the strips of a table span, in whole tenths, one half included."""
    names = ("preference_accuracy", "accuracy_chosen_longer", "accuracy_chosen_shorter")
    shown = [rows[name].dropna() for name in names if name in rows.columns]
    values = [0.5, *(float(value) for column in shown for value in column)]
    return max(0.0, numpy.floor(min(values) * 10 - 0.3) / 10), min(1.0, numpy.ceil(max(values) * 10 + 0.3) / 10)


def strip(row: Mapping[str, Any], span: tuple[float, float]) -> str:
    """A cell's accuracy with its standard error, and the accuracies by completion length, on one line.

    Empty where the cell has no accuracy.
    """
    accuracy: Any = row.get("preference_accuracy")
    if numbers.is_missing(accuracy):
        return ""
    parts = [_rule(0.5, span, "half")]
    if not numbers.is_missing(row.get("longer_wins_baseline")):
        parts.append(_rule(row["longer_wins_baseline"], span, "baseline"))
    parts += [_mark(row.get(f"accuracy_chosen_{side}"), span, side) for side in ("shorter", "longer")]
    error: Any = row.get("preference_accuracy_se")
    if not numbers.is_missing(error):
        left, right = (numbers.coordinate(_x(accuracy + sign * error, span)) for sign in (-1, 1))
        middle = numbers.coordinate(_STRIP_HEIGHT / 2)
        parts.append(f'<path class="error" d="M{left} {middle}H{right}"/>')
    centre = f'cx="{numbers.coordinate(_x(accuracy, span))}" cy="{numbers.coordinate(_STRIP_HEIGHT / 2)}"'
    parts.append(f'<circle class="dot" {centre} r="3.5"/>')
    box = f"0 0 {numbers.coordinate(_STRIP_WIDTH)} {numbers.coordinate(_STRIP_HEIGHT)}"
    return f'<svg class="strip" viewBox="{box}" aria-hidden="true">{"".join(parts)}</svg>'


def _x(value: float, span: tuple[float, float]) -> float:
    """The place of an accuracy in the strip, kept inside it."""
    share = (value - span[0]) / (span[1] - span[0])
    return min(max(share, 0.0), 1.0) * (_STRIP_WIDTH - 12) + 6


def _rule(value: float, span: tuple[float, float], kind: str) -> str:
    return f'<path class="{kind}" d="M{numbers.coordinate(_x(value, span))} 1V17"/>'


def _mark(value: Any, span: tuple[float, float], side: str) -> str:
    """An open triangle: pointing right for chosen-longer pairs, left for chosen-shorter ones."""
    if numbers.is_missing(value):
        return ""
    place, reach = _x(value, span), 5.0 if side == "longer" else -5.0
    base, tip = numbers.coordinate(place - reach / 2), numbers.coordinate(place + reach / 2)
    return f'<path class="mark" d="M{base} 5.5L{tip} 9L{base} 12.5Z"/>'
