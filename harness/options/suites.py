"""Whether the suite that was asked for exists, with its settings, before any data is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import suites
from harness.options.cards import cards
from harness.options.parsers import unknown


def suite_errors(name: str | None, settings: Mapping[str, str]) -> list[str]:
    """What is wrong with a suite's name or file, with its settings, and with folders or files they point at."""
    if not isinstance(name, str):
        return []
    if not suites.is_mixture(name):
        return _single(name, settings, "suite")
    loose = [key for key in settings if "." not in key]
    if loose:
        known = [*_of_every_suite(), "PART.KEY"]
        return [f"suite.{key}: " + unknown("setting of a mixture", key, known) for key in loose]
    try:
        own = suites.settings_of(suites.read_parts(name, settings), settings)
    except suites.SuiteError as error:
        return [str(error)]
    return [error for part, given in own.items() for error in _single(part.name, given, f"suite.{part.label}")]


def looks_like_path(name: str, endings: tuple[str, ...]) -> bool:
    """Whether a name is meant as a place on disk."""
    return name.startswith(("/", "./", "../", "~")) or name.lower().endswith(endings)


def _single(name: str, settings: Mapping[str, str], prefix: str) -> list[str]:
    """The errors of one suite; `prefix` is what its settings are written with."""
    if name not in suites.names() and looks_like_path(name, suites.FILE_ENDINGS):
        return _file(name, settings, prefix)
    try:
        entry = suites.get(name)
    except suites.SuiteError as error:
        return [f"suite: {error}"]
    errors = []
    for key, value in settings.items():
        if key not in entry.settings:
            known = [*entry.settings, *(_of_every_suite() if prefix == "suite" else [])]
            errors.append(f"{prefix}.{key}: " + unknown(f"setting of {name}", key, known))
        elif key == "path" and not Path(value).expanduser().exists():
            errors.append(f"{prefix}.path: no such file or folder: {value}; paths are read from the current folder")
    return errors


def _file(name: str, settings: Mapping[str, str], prefix: str) -> list[str]:
    errors = []
    if not Path(name).expanduser().is_file():
        errors.append(f"suite: no such file: {name}; paths are read from the current folder")
    if settings:
        keys = ", ".join(f"{prefix}.{key}" for key in settings)
        errors.append(f"{keys}: a file of your own has no settings but {', '.join(_of_every_suite())}; drop it")
    return errors


def _of_every_suite() -> list[str]:
    """The keys that act on any suite's training rows."""
    return [card.name.removeprefix("suite.") for card in cards() if card.name.startswith("suite.")]
