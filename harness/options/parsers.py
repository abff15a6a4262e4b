"""One parser for each kind of option value: from command-line text, or a Python value, to the typed one.

A parser is a small frozen object: calling it returns the value or raises ValueError with a sentence that
quotes what was seen; `allowed` says in words what it accepts, for error messages and `list options`.
Names are not looked up here (that is lookup.py), nor are words split (words.py).
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol


class Parser(Protocol):
    """What every parser here is."""

    @property
    def allowed(self) -> str:
        """What it reads, in words."""

    def __call__(self, value: object, /) -> Any:
        """The typed value. Raises: ValueError with a sentence that quotes what was seen."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most resembles (one it begins, before any other), or None."""
    by_lower = {entry.lower(): entry for entry in known}
    begun = [lower for lower in by_lower if len(name) > 2 and lower.startswith(name.lower())]
    if begun:
        return by_lower[begun[0]]
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def unknown(what: str, name: str, known: Iterable[str], heading: str = "Known") -> str:
    """The sentence for a name that is not known: what it was, the nearest one, all of them."""
    known = list(known)
    guess = nearest(name, known)
    hint = f"; did you mean {guess!r}?" if guess else "."
    return f"unknown {what} {name!r}{hint} {heading}: {', '.join(known)}."


@dataclass(frozen=True)
class WholeNumber:
    """A whole number within limits; `1e3` is accepted because it is integral."""

    minimum: int
    maximum: int | None = None

    @property
    def allowed(self) -> str:
        """What it reads, in words."""
        if self.maximum is None:
            return f"whole number >= {self.minimum}"
        return f"whole number {self.minimum} to {self.maximum}"

    def __call__(self, value: object) -> int:
        number = _to_integer(value)
        above = self.maximum is not None and number is not None and number > self.maximum
        if number is None or number < self.minimum or above:
            raise ValueError(f"{value!r} is not a {self.allowed}")
        return number


@dataclass(frozen=True)
class Number:
    """A finite number; `above` and `below` are open limits, `minimum` and `maximum` closed ones."""

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None

    @property
    def allowed(self) -> str:
        """What it reads, in words."""
        limits = [f">= {self.minimum:g}"] if self.minimum is not None else []
        limits += [f"<= {self.maximum:g}"] if self.maximum is not None else []
        limits += [f"> {self.above:g}"] if self.above is not None else []
        limits += [f"< {self.below:g}"] if self.below is not None else []
        return " ".join(["number", " and ".join(limits)]) if limits else "finite number"

    def __call__(self, value: object) -> float:
        number = _to_float(value)
        if number is None or not self._within(number):
            raise ValueError(f"{value!r} is not a {self.allowed}")
        return number

    def _within(self, number: float) -> bool:
        return (
            (self.minimum is None or number >= self.minimum)
            and (self.maximum is None or number <= self.maximum)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )


@dataclass(frozen=True)
class Flag:
    """true or false, also written yes or no."""

    allowed: str = "true | false"

    def __call__(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        text = str(value).lower()
        if text not in ("true", "yes", "false", "no"):
            raise ValueError(f"{value!r} is neither true nor false")
        return text in ("true", "yes")


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    names: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """What it reads, in words."""
        return " | ".join(self.names)

    def __call__(self, value: object) -> str:
        if value not in self.names:
            raise ValueError(unknown("value", str(value), self.names, heading="Allowed").removesuffix("."))
        return str(value)


@dataclass(frozen=True)
class Device:
    """Where the model runs: a word that torch knows, or auto."""

    allowed: str = "auto | cpu | cuda | cuda:N | mps"

    def __call__(self, value: object) -> str:
        text = str(value)
        numbered = text.startswith("cuda:") and text[5:].isascii() and text[5:].isdigit()
        if text not in ("auto", "cpu", "cuda", "mps") and not numbered:
            raise ValueError(f"unknown device {text!r}. Allowed: {self.allowed}")
        return text


@dataclass(frozen=True)
class Text:
    """Any printable, non-empty text."""

    allowed: str = "text"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise ValueError(f"{value!r} is not a non-empty, printable text")
        return value


@dataclass(frozen=True)
class Place(Text):
    """A path as text, with ~ for the user's home as shells write it that do not expand it themselves."""

    def __call__(self, value: object) -> str:
        return os.path.expanduser(super().__call__(value))


@dataclass(frozen=True)
class Auto:
    """A value, or `auto` (None in Python): decided later and recorded."""

    parser: Parser

    @property
    def allowed(self) -> str:
        """What it reads, in words."""
        return f"auto | {self.parser.allowed}"

    def __call__(self, value: object) -> Any:
        return None if value is None or value in ("auto", ["auto"], ("auto",)) else self.parser(value)


@dataclass(frozen=True)
class OrNone:
    """A value, or `none` (None in Python): the rule does not act."""

    parser: Parser

    @property
    def allowed(self) -> str:
        """What it reads, in words."""
        return f"none | {self.parser.allowed}"

    def __call__(self, value: object) -> Any:
        if value is None or value == "none":
            return None
        try:
            return self.parser(value)
        except ValueError as error:
            raise ValueError(f"{error}, nor none") from None


@dataclass(frozen=True)
class SeveralOrNone:
    """Several values, or the word `none`: no value at all."""

    parser: Parser

    @property
    def allowed(self) -> str:
        """What it reads, in words."""
        return f"none | {self.parser.allowed}"

    def __call__(self, value: object) -> Any:
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        if items in ([], ["none"]):
            return ()
        if "none" in items:
            raise ValueError("'none' stands alone: give either none or values")
        return self.parser(items)


@dataclass(frozen=True)
class Several:
    """Distinct values of one kind; with grid=True also the word `grid`, for values declared elsewhere."""

    parser: Parser
    grid: bool = False

    @property
    def allowed(self) -> str:
        """What it reads, in words."""
        return f"{self.parser.allowed} | grid" if self.grid else self.parser.allowed

    def __call__(self, value: object) -> Any:
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        if self.grid and items == ["grid"]:
            return "grid"
        if self.grid and "grid" in items:
            raise ValueError("'grid' stands alone: give either grid or values")
        parsed = tuple(self.parser(item) for item in items)
        twice = sorted({item for item in parsed if parsed.count(item) > 1}, key=str)
        if twice:
            raise ValueError(f"{twice[0]!r} is given more than once; name each value once")
        return parsed


def _to_integer(value: object) -> int | None:
    """The integer that a Python number or a text stands for, or None."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lstrip("+-").isdigit():
        return int(value)
    number = _to_float(value)
    return int(number) if number is not None and number.is_integer() else None


def _to_float(value: object) -> float | None:
    """The finite float that a Python number or a text stands for, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def check_loss_settings(value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per-loss values: learning rates and beta above 0, others finite, or the word grid for either.

    Raises: ValueError with one line for each problem.
    """
    checked: dict[str, dict[str, Any]] = {}
    problems = []
    for loss, settings in value.items():
        for key, text in settings.items():
            positive = key in ("lrs", "beta")
            try:
                parsed = Several(Number(above=0) if positive else Number(), grid=True)(text)
                checked.setdefault(loss, {})[key] = parsed
            except ValueError as error:
                problems.append(f"{loss}.{key}: {error}; write {loss}.{key}=VALUE,VALUE or {loss}.{key}=grid")
    if problems:
        raise ValueError("\n".join(problems))
    return checked
