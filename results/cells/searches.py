"""Which cells a search tried, which it chose, and which confirm its choice: the records beside the cells.

A cell is named by what decides its weights, so it can be a plain one for one command and a trial, a winner or a
default for another. What it was to whom is in `search-<id>.json`, one file a search, in the suite's folder.
"""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from results.cells.store import ROW, SEARCH_FILE

PLAIN, SEARCH, CLAIM = "plain", "search", "claim"
"""Stages: what no search names, what a search tried, and its confirmation: trained on fresh seeds for the verdicts."""

WINNER, DEFAULT = "winner", "default"
"""Roles in a confirmation; a default that won is the winner."""

METRIC = "validation_preference_accuracy"
"""What settings are selected by."""


def records(path: Path | str) -> list[dict[str, Any]]:
    """The records of the searches below a path, the one whose command ran last at the end.

    Each as it was stored: search (its id), method, trials, search_seed, seed, claim_seeds, spaces, cells (each with
    stage, trial, rung and role), decisions with their evidence. Of a cell's folder, those of its suite.
    """
    root = Path(path)
    root = root.parent if (root / ROW).exists() else root
    files = [file for pattern in ("", "*/") for file in root.glob(pattern + SEARCH_FILE.format("*"))]
    found = []
    for file in sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name)):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            content["search"], content["cells"][0]["cell"]
            found.append(content)
        except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
            warnings.warn(f"skipped {file}: {type(error).__name__}: {error}", stacklevel=2)
    return found


def record(path: Path | str, search: str | None = None) -> dict[str, Any] | None:
    """The record of this id; without an id the last one, or None where there is none.

    Raises: ValueError for an id that is not there.
    """
    found = records(path)
    if search is None:
        return found[-1] if found else None
    named = [one for one in found if one["search"] == search]
    if not named:
        known = ", ".join(one["search"] for one in found) or "none"
        raise ValueError(f"no search {search!r} at {str(path)!r}; there are: {known}.")
    return named[-1]


def needed_record(path: Path | str, search: str | None = None) -> dict[str, Any]:
    """The record of this id, or the last one. Raises: ValueError where there is none."""
    found = record(path, search)
    if found is None:
        raise ValueError(f"no search at {str(path)!r}; run one with search=random.")
    return found


def roles(found: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Cell -> its stage, trial and role: a confirmation before a trial, and the last search before earlier ones."""
    entries = [entry for one in found for entry in one["cells"]]
    ordered = sorted(entries, key=lambda entry: entry["stage"] == CLAIM)
    return {entry["cell"]: {name: entry[name] for name in ("stage", "trial", "role")} for entry in ordered}
