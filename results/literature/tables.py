"""Figures of published tables: one CSV a table in `published/`, each figure with its source and how it was checked.

    tables.table("kto_table1")["dpo_mistral7b_oasst"]["win_rate"]      # 0.6

What the tables are, their protocols and their known errors are described in `published/SOURCES.md`. Nothing is computed
here; setting a figure beside one of ours is done by `harness.reproduce`.
"""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent.parent / "published"
COLUMNS = ("source", "table", "row", "quantity", "value", "tag")
TAGS = {
    "V": "recomputed from the public artifact, or derived",
    "S": "read in the primary source",
    "S2": "read in another paper's or repository's copy",
    "M": "from memory, not checked again",
}


class Figure(NamedTuple):
    """One published number: `row` and `quantity` name it within its table, `tag` is one of `TAGS`."""

    source: str
    table: str
    row: str
    quantity: str
    value: float
    tag: str


def names() -> tuple[str, ...]:
    """The tables there are."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.csv")))


@cache
def figures(name: str) -> tuple[Figure, ...]:
    """Every figure of a table, in the order of the file.

    Raises: LookupError for an unknown table; ValueError for a file that breaks the form, naming its line.
    """
    path = FOLDER / f"{name}.csv"
    if name not in names():
        raise LookupError(f"unknown table {name!r}; known: {', '.join(names())}.")
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    if tuple(lines[0]) != COLUMNS:
        raise ValueError(f"{path.name}: columns {', '.join(lines[0])}; needed: {', '.join(COLUMNS)}.")
    return tuple(_figure(line, f"{path.name}:{number}") for number, line in enumerate(lines[1:], start=2))


def table(name: str) -> dict[str, dict[str, float]]:
    """The figures of a table as row -> quantity -> value. Raises: as `figures`; ValueError for a figure given twice."""
    found: dict[str, dict[str, float]] = {}
    for figure in figures(name):
        row = found.setdefault(figure.row, {})
        if figure.quantity in row:
            raise ValueError(f"{name}: {figure.quantity} of {figure.row!r} is given twice.")
        row[figure.quantity] = figure.value
    return found


def _figure(cells: list[str], where: str) -> Figure:
    if len(cells) != len(COLUMNS) or cells[-1] not in TAGS:
        raise ValueError(f"{where}: {','.join(cells)!r}; needed: {', '.join(COLUMNS)}, tag one of {', '.join(TAGS)}.")
    source, name, row, quantity, value, tag = cells
    return Figure(source, name, row, quantity, float(value), tag)
