"""Loading a suite or a mixture of suites by name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from suites.files import load_file
from suites.mixture import Part, is_mixture, read_parts, settings_of
from suites.pair import Suite, SuiteError, in_columns
from suites.reading.records import FILE_ENDINGS
from suites.registry import did_you_mean, get, names
from suites.sampled import Sampled
from suites.splits import LEAKS


def load(name_or_file: str, settings: Mapping[str, str] | None = None) -> Suite | Sampled:
    """Load a registered suite, a user's own file, or a mixture of them, with the given settings.

    Raises: SuiteError for an unknown name or setting, and for everything wrong with the data.
    """
    given = dict(settings or {})
    if is_mixture(name_or_file):
        return load_mixture(name_or_file, given)
    if name_or_file not in names() and name_or_file.lower().endswith(FILE_ENDINGS):
        if given:
            raise SuiteError(f"suite {name_or_file!r} is a file and has no settings; given: {', '.join(sorted(given))}")
        return load_file(name_or_file)
    entry = get(name_or_file)
    if unknown := sorted(set(given) - set(entry.settings)):
        known = ", ".join(entry.settings) or "none"
        raise SuiteError(
            f"unknown setting {unknown[0]!r} of suite {entry.name!r}"
            f"{did_you_mean(unknown[0], entry.settings)} Known: {known}"
        )
    return entry.fn(**given)


def load_mixture(text: str, settings: Mapping[str, str]) -> Suite:
    """All rows of all parts, their ids under their source's name.

    A row is dropped where another part has its cluster in test (`leaks_into_test`), and one that trains also where
    another part has it in validation (`leaks_into_validation`): parts with files for their splits and parts without
    place the same first turn differently.
    Raises: SuiteError, also where pairs and unpaired examples would be mixed.
    """
    loaded = _parts(text, settings)
    name = "_plus_".join(f"{part.label}_x{part.weight:g}" for part in loaded)
    kind = next(iter(loaded.values())).kind
    leaks = _leaks(loaded)
    kept = {part: [place for place, rule in enumerate(found) if rule is None] for part, found in leaks.items()}
    dropped: Counter[str] = sum((Counter(suite.dropped) for suite in loaded.values()), Counter())
    dropped.update(rule for found in leaks.values() for rule in found if rule is not None)
    rows = (
        replace(row, id=f"{part.label}/{row.id}", source=part.label)
        for part, suite in loaded.items()
        for row in suite.rows.take(kept[part])
    )
    return Suite(
        name,
        in_columns(name, rows, kind),
        kind,
        dict(dropped),
        sum(suite.read for suite in loaded.values()),
        "; ".join(suite.source for suite in loaded.values()),
        _digest(f"{part.label} {suite.revision}" for part, suite in loaded.items()),
    )


def _parts(text: str, settings: Mapping[str, str]) -> dict[Part, Suite]:
    """The loaded suites of a mixture, all of one kind. Raises: SuiteError where they cannot be mixed."""
    parts = read_parts(text, settings)
    own = settings_of(parts, settings)
    loaded: dict[Part, Suite] = {}
    for part in parts:
        suite = load(part.name, own[part])
        if isinstance(suite, Sampled):
            raise SuiteError(
                f"suite {text!r} mixes in {part.label}, whose responses a model has yet to give; write its pairs to "
                "a file first, and mix that file"
            )
        loaded[part] = suite
    if len({suite.kind for suite in loaded.values()}) > 1:
        told = ", ".join(f"{part.label} {suite.kind}" for part, suite in loaded.items())
        raise SuiteError(f"suite {text!r} mixes pairs and unpaired examples ({told}); mix suites of one kind")
    return loaded


def _leaks(loaded: Mapping[Part, Suite]) -> dict[Part, list[str | None]]:
    """For each part the rule that drops each of its rows, None for a row that stays."""
    columns = {
        part: list(zip(*(suite.rows.column(name).to_pylist() for name in ("cluster", "split")), strict=True))
        for part, suite in loaded.items()
    }
    held_out: dict[str, set[Part]] = {}  # cluster -> the parts that validate on it
    tested: set[str] = set()
    for part, rows in columns.items():
        for cluster, split in rows:
            if split == "test":
                tested.add(cluster)
            elif split == "validation":
                held_out.setdefault(cluster, set()).add(part)

    def rule(part: Part, cluster: str, split: str) -> str | None:
        if split != "test" and cluster in tested:
            return LEAKS
        return "leaks_into_validation" if split == "train" and held_out.get(cluster, {part}) != {part} else None

    return {part: [rule(part, *row) for row in rows] for part, rows in columns.items()}


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
