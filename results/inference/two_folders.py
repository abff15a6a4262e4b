"""Runs of two folders side by side, from two machines or two versions, and why they may not be ranked together.

    results.across("runs", "other/runs")     # one row a cell that both hold

A cell's id is made of what decides its weights, so cells of one id should agree; its protocol is what cells must share
to be ranked, and `cell.json` says in which field two protocols differ.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.cells.frames import rows_frame, rows_of
from results.cells.read import read
from results.cells.store import CELL, ROW, read_row
from results.metrics.measure import METRICS
from results.schema.tables import ACROSS_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

PROVENANCE = ("device", "threads", "layout", "versions", "commit")
"""Columns that explain why equal cells differ in their last bits."""

_AXES = ("loss", "hyperparameters", "lr", "seed", "rows", "plugin", "knobs")


def across(a: Path | str, b: Path | str, metric: str = "preference_accuracy") -> "pd.DataFrame":
    """The finished cells that both folders hold, joined on their id, in the columns of ACROSS_COLUMNS.

    Raises: ValueError for an unknown metric; FileNotFoundError where a folder has no runs.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}. Metrics of the test rows: {', '.join(METRICS)}.")
    both = _done(a).merge(_done(b), on="cell", suffixes=("_a", "_b"))
    return rows_frame((_line(row, metric) for row in rows_of(both)), ACROSS_COLUMNS)


def _line(row: Mapping[str, Any], metric: str) -> dict[str, Any]:
    shared = {name: row[f"{name}_a"] for name in ("protocol", "loss", "hyperparameters", "lr", "seed")}
    one, other = row[f"{metric}_a"], row[f"{metric}_b"]
    differing = [name for name in PROVENANCE if str(row[f"{name}_a"]) != str(row[f"{name}_b"])]
    return {
        **shared,
        "cell": row["cell"],
        "metric": metric,
        "value_a": one,
        "value_b": other,
        "difference": one - other,
        "se": row.get(f"{metric}_se_a", math.nan),
        "differs": ", ".join(differing),
    }


def _done(path: Path | str) -> "pd.DataFrame":
    runs = read(path)
    return runs[runs["status"] == "done"]


def field_differences(a: Path | str, b: Path | str) -> list[str]:
    """For each protocol of one folder that the other lacks, the fields in which it differs from the nearest there.

    A field is a part of `cell.json`, dotted where it is nested: `precision is bf16 and fp32`.
    """
    ours, theirs = _protocols(a), _protocols(b)
    differences = []
    for name in sorted(ours.keys() - theirs.keys()):
        nearest = min(theirs, key=lambda other: len(_unequal(ours[name], theirs[other])))
        fields = _unequal(ours[name], theirs[nearest])
        unlike = [f"{field} is {_short(one)} and {_short(other)}" for field, one, other in fields]
        why = ", ".join(unlike) if unlike else "rows that training may draw from, or the suite's name"
        differences.append(f"protocol {name} of {a} and protocol {nearest} of {b} differ: {why}")
    return differences


def _short(value: Any) -> str:
    """A value as text, of a digest the first digits."""
    text = str(value)
    return text[:12] if len(text) == 64 and " " not in text else text


def _unequal(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    fields = sorted(one.keys() | other.keys())
    return [(field, one.get(field), other.get(field)) for field in fields if one.get(field) != other.get(field)]


def _protocols(path: Path | str) -> dict[str, dict[str, Any]]:
    """Protocol -> what a trained cell of it says in cell.json, declared axes left out, nested fields dotted."""
    root = Path(path)
    places = (
        [root]
        if (root / ROW).exists()
        else sorted(place.parent for pattern in (f"*/{ROW}", f"*/*/{ROW}") for place in root.glob(pattern))
    )
    found: dict[str, dict[str, Any]] = {}
    for folder in places:
        try:
            row = read_row(folder)
            cell = json.loads((folder / CELL).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # said by those who read the rows, and by verify
        if row.get("status") == "done":
            fields = dict(_flat({name: value for name, value in cell.items() if name not in _AXES}))
            fields.pop("budget.rows", None)  # how many rows train is an axis too
            known = found.setdefault(str(row.get("protocol")), {})
            known.update(fields if len(fields) > len(known) else {})  # the untrained baseline says less
    return found


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
