"""Rows with the metrics that they lack, computed from the tables beside them: a new metric needs no new run.

Nothing is opened where a row has all that its tables give, and nothing is written.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.cells import store
from results.cells.frames import plain, read_parquet
from results.schema.from_tables import (
    FROM_ANSWERS,
    FROM_CURVE,
    FROM_PAIRS,
    FROM_SOME_ANSWERS,
    FROM_START,
    FROM_VALIDATION,
)
from results.schema.row import CURVE_COLUMNS, PAIR_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]


def completed(rows: Mapping[Path, Row]) -> list[Row]:
    """The rows of cell folders, in order, finished ones with every metric that their tables give.

    A table that cannot be read, or is not the one that was stored, is left out with a warning that names it.
    """
    drawn_alike = _columns_of_answers(rows.values())
    found = []
    for folder, row in rows.items():
        is_done = row.get("status") == "done"
        if is_done and _lacks_of_pairs(folder, row):
            row = _joined(row, _of_pairs, folder, store.PAIRS)
        if is_done and row.get("generation") and (FROM_ANSWERS | drawn_alike[_drawn(row)]) - row.keys():
            row = _joined(row, _of_answers, folder, store.GENERATIONS)
        found.append(row)
    return found


def _lacks_of_pairs(folder: Path, row: Row) -> bool:
    """Whether the row lacks a column that follows from its pair table or its curve, and the table is there."""
    lacking = FROM_PAIRS - row.keys()
    lacking |= FROM_VALIDATION - row.keys() if row.get("validation_pairs") else set()
    lacking |= FROM_START - row.keys() if (row.get("round") or 1) > 1 else set()
    if lacking and (folder / store.PAIRS).is_file():
        return True
    return bool(FROM_CURVE - row.keys()) and all((folder / name).is_file() for name in (store.PAIRS, store.CURVE))


def _joined(row: Row, measure: Callable[[Path, Row], Row], folder: Path, name: str) -> Row:
    """The row with what is measured; what it holds already stays."""
    try:
        return {**plain(measure(folder, row)), **row}
    except (OSError, ValueError) as error:
        warnings.warn(f"not measured from {folder / name}: {error}", stacklevel=4)
        return row


def _of_pairs(folder: Path, row: Row) -> Row:
    from results.metrics.row import derived_again

    pairs = read_parquet(_vouched(folder, store.PAIRS), PAIR_COLUMNS, "pair")
    has_curve = (folder / store.CURVE).is_file()
    curve = read_parquet(_vouched(folder, store.CURVE), CURVE_COLUMNS, "curve") if has_curve else None
    return derived_again(row, pairs, curve)


def _of_answers(folder: Path, row: Row) -> Row:
    """Raises: ValueError where the reference's answers are missing."""
    from results.metrics import answers

    reference = _reference_of(folder, row)
    policy, theirs = (_answers(place) for place in (folder, reference))
    return answers.measure(policy, theirs, exact="kl" in store.read_row(reference))


def _answers(folder: Path) -> "pd.DataFrame":
    from results.metrics.answers import from_json_lines

    return from_json_lines(_vouched(folder, store.GENERATIONS).read_bytes())


def _reference_of(folder: Path, row: Row) -> Path:
    """The folder of the untrained control that answered the same prompts. Raises: ValueError without one."""
    for place in sorted(folder.parent.glob(f"none-*/{store.ROW}")):
        other = store.read_row(place.parent)
        if other.get("status") == "done" and _drawn(other) == _drawn(row):
            return place.parent
    raise ValueError("the reference's answers are missing: the control `none` of the same protocol has them.")


def _vouched(folder: Path, name: str) -> Path:
    """A file that is the one that the row was stored with. Raises: ValueError where it is not."""
    if not store.holds(folder, name, (store.read_row(folder).get("files") or {}).get(name)):
        raise ValueError(f"{name} is missing, or is not what was stored; see `verify`.")
    return folder / name


def _drawn(row: Row) -> tuple[Any, Any]:
    """What rows share whose answers were drawn alike."""
    return row.get("protocol"), row.get("generation")


def _columns_of_answers(rows: Iterable[Row]) -> dict[tuple[Any, Any], frozenset[str]]:
    """Columns that some answers alone have: those in any of the rows with answers drawn alike, which all can have."""
    found: dict[tuple[Any, Any], frozenset[str]] = {}
    for row in rows:
        if row.get("generation"):
            found[_drawn(row)] = found.get(_drawn(row), frozenset()) | (FROM_SOME_ANSWERS & row.keys())
    return found
