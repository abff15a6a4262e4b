"""Suites by name: a decorator to register one, and its entry by name. What loads one is in `suites.load`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from suites.pair import Suite, SuiteError
from suites.reading.records import FILE_ENDINGS
from suites.sampled import Sampled

Maker = Callable[..., Suite | Sampled]


@dataclass(frozen=True)
class SuiteEntry:
    """A registered source of preferences.

    `settings` are the keyword-only arguments of `fn` with their defaults: a user writes them as
    `suite.NAME=VALUE`. `hub` is the hub id of the public data set, or None.
    """

    name: str
    fn: Maker
    description: str
    settings: Mapping[str, str | None]
    hub: str | None = None


_entries: dict[str, SuiteEntry] = {}


def register(name: str, *, description: str, hub: str | None = None) -> Callable[[Maker], Maker]:
    """Decorate a function of keyword-only settings (text, or None when not given) that returns a Suite,
    or a Sampled: what a model has to answer before there is one.

    Raises: ValueError or TypeError for a taken name, or settings that a command line could not give.
    """

    def decorate(fn: Maker) -> Maker:
        if name in _entries:
            raise ValueError(f"a suite {name!r} is already registered; choose another name")
        settings = _settings(name, fn)
        _entries[name] = SuiteEntry(name, fn, description, MappingProxyType(settings), hub)
        return fn

    return decorate


def get(name: str) -> SuiteEntry:
    """The entry of a registered suite.

    Raises: SuiteError with the nearest name and the known ones.
    """
    if name in _entries:
        return _entries[name]
    endings = ", ".join(FILE_ENDINGS)
    raise SuiteError(
        f"unknown suite {name!r}{did_you_mean(name, names())} Known: {', '.join(names())}; "
        f"or a file of your own ({endings})"
    )


def names() -> tuple[str, ...]:
    """All registered suite names, sorted."""
    return tuple(sorted(_entries))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error's first sentence: the nearest known name as a question, or a full stop."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "."


def _settings(name: str, fn: Maker) -> dict[str, str | None]:
    """The keyword-only arguments of a suite function and their defaults. Raises: TypeError or ValueError."""
    settings = {}
    for argument in inspect.signature(fn).parameters.values():
        if argument.kind is not inspect.Parameter.KEYWORD_ONLY or argument.default is argument.empty:
            raise ValueError(f"suite {name!r}: {argument.name!r} must be keyword-only and have a default")
        if not isinstance(argument.default, str | None):
            raise TypeError(f"suite {name!r}: the default of {argument.name!r} must be text or None")
        settings[argument.name] = argument.default
    return settings
