"""Which cells a search tried, which it chose, and on which its claim rests: the records beside the cells.

A cell is named by what decides its weights, so it can be a plain one for one command and a trial, a winner or a
default for another. What it was to whom is in `search-<id>.json`, one file a search, in the suite's folder.
"""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.store import ROW, SEARCH_FILE

if TYPE_CHECKING:
    import pandas as pd

PLAIN, SEARCH, CLAIM = "plain", "search", "claim"
"""Stages: what no search names, what a search tried, and what was trained on fresh seeds for its verdicts."""

WINNER, DEFAULT = "winner", "default"
"""Roles in a claim; a default that won is the winner."""

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


def roles(found: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Cell -> its stage, trial and role: a claim before a trial, and the last search before earlier ones."""
    entries = [entry for one in found for entry in one["cells"]]
    ordered = sorted(entries, key=lambda entry: entry["stage"] == CLAIM)
    return {entry["cell"]: {name: entry[name] for name in ("stage", "trial", "role")} for entry in ordered}


def search(path: Path | str, search: str | None = None) -> "pd.DataFrame":
    """One row a part that a cell has in a search (the last one, or that of the id), with the columns of
    `results.read`, and `search` and `rung` (0 = the first round of a racing search) in front.

    A cell that was tried and is a part of the claim too has two rows; cells that have not been run have none.
    Raises: FileNotFoundError without runs; ValueError where there is no such search.
    """
    from results.reading import read

    found = record(path, search)
    if found is None:
        raise ValueError(f"no search at {str(path)!r}; run one with search=random.")
    return parts(read(path), found)


def parts(runs: "pd.DataFrame", found: dict[str, Any]) -> "pd.DataFrame":
    """The rows of `runs` that a record names, as `search` gives them."""
    import pandas as pd

    entries = pd.DataFrame(found["cells"])[["cell", "stage", "trial", "rung", "role"]]
    joined = entries.merge(runs.drop(columns=["stage", "trial", "role"]), on="cell", how="inner")
    kept = {name: joined[name].astype(runs[name].dtype) for name in runs.columns}
    front = {"search": [found["search"]] * len(joined), "rung": joined["rung"].astype("Int64")}
    return pd.DataFrame({**front, **kept})


def comparable(runs: "pd.DataFrame", path: Path | str, search: str | None = None) -> "pd.DataFrame":
    """The rows that verdicts rest on: where a protocol has a search with a claim, the claim's alone.

    search: the id of another search than the last one; "none" takes every row.
    Raises: ValueError for an id that is not there.
    """
    import pandas as pd

    if search == "none":
        return runs.assign(role="")
    named = [record(path, search)] if search else records(path)
    last = {one["protocol"]: one for one in named if one and one["claim_seeds"]}
    of_claims = [parts(runs, one) for one in last.values()]
    claimed = [frame[frame["stage"] == CLAIM][list(runs.columns)] for frame in of_claims]
    return pd.concat([*claimed, runs[~runs["protocol"].isin(list(last))]], ignore_index=True) if last else runs
