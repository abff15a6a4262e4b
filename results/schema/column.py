"""What a column is, and short ways to declare one; the columns themselves are in `row.py` and `tables.py`."""

from dataclasses import dataclass
from typing import Literal

LETTERS = (
    "Letters, per pair: c, r = log-prob of the chosen and of the rejected completion under the policy (nats, summed "
    "over scored tokens); c0, r0 = the same under the reference; nc, nr = scored tokens; a = c - c0, d = r - r0, "
    "h = a - d."
)
"""What the meanings of columns abbreviate; whoever shows them shows this too."""

Direction = Literal["up", "down", "none"]
Dtype = Literal["str", "float64", "Int64", "boolean"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    `dtype` is the pandas type: "str", "float64", "Int64" or "boolean" (the last two can hold missing values).
    `better` says in which direction a value improves; "none" where neither direction is good in itself.
    """

    name: str
    dtype: Dtype
    unit: str
    better: Direction
    meaning: str


def text(name: str, meaning: str) -> Column:
    """A column of text."""
    return Column(name, "str", "text", "none", meaning)


def count(name: str, unit: str, meaning: str) -> Column:
    """A column of whole numbers."""
    return Column(name, "Int64", unit, "none", meaning)


def real(name: str, unit: str, meaning: str, better: Direction = "none") -> Column:
    """A column of measured numbers."""
    return Column(name, "float64", unit, better, meaning)


def flag(name: str, meaning: str) -> Column:
    """A column of yes and no."""
    return Column(name, "boolean", "true or false", "none", meaning)


def with_se(name: str, unit: str, meaning: str, better: Direction = "none") -> tuple[Column, Column]:
    """A metric and its standard error, side by side."""
    error = f"standard error of {name}, clustered on the first human turn"
    return real(name, unit, meaning, better), real(f"{name}_se", unit, error)
