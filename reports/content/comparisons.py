"""The verdicts of `results.compare` as text: one block a protocol, one line a comparison."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas

from reports.text import numbers
from reports.text.numbers import Style
from results.cells.frames import rows_of
from results.inference.test import CLAIM_SEEDS
from results.schema.row import METRIC_COLUMNS
from results.schema.tables import COMPARISON_COLUMNS

_UNITS = {column.name: column.unit for column in METRIC_COLUMNS}
_HEADS = (
    "a",
    "b",
    "seeds",
    "value a",
    "value b",
    "difference",
    "95 % interval",
    "detectable",
    "P(a > b)",
    "p (Holm)",
    "verdict",
)
_TEXT = (0, 1, len(_HEADS) - 1)
_GAP = "  "
_WIDTH = 110


def comparison(frame: pandas.DataFrame) -> str:
    """The comparisons as aligned text, protocols apart, with what the columns mean below.

    Raises: ValueError when a declared column is missing.
    """
    missing = [column.name for column in COMPARISON_COLUMNS if column.name not in frame.columns]
    if missing:
        raise ValueError(f"Columns missing from the comparisons: {', '.join(missing)}. Use results.compare.")
    blocks = [_block(rows) for _, rows in frame.groupby("protocol", sort=False, dropna=False)]
    return "\n\n\n".join([*blocks, "\n".join(_notes(frame))])


def across(frame: pandas.DataFrame, a: str, b: str) -> str:
    """The cells that two folders hold, as `results.across` gives them: a line a cell, the folders' names above."""
    metric = str(frame["metric"].iloc[0])
    styles = _styles(metric)
    lines = [("cell", "setting", "seed", "a", "b", "difference", "se over rows", "not the same")]
    for row in rows_of(frame):
        lines.append(
            (
                numbers.number(row["cell"], "text"),
                numbers.label(row, seed=False),
                numbers.number(row["seed"], "count"),
                numbers.number(row["value_a"], styles[0]),
                numbers.number(row["value_b"], styles[0]),
                numbers.number(row["difference"], styles[1]),
                numbers.number(row["se"], styles[0]),
                numbers.number(row["differs"], "text"),
            )
        )
    title = (
        f"{numbers.number(metric, 'text')} of {numbers.counted(len(frame), 'cell')} that both hold: "
        f"a = {numbers.number(a, 'text')}, b = {numbers.number(b, 'text')}"
    )
    return "\n".join([title, "", *_aligned(lines, (0, 1, len(lines[0]) - 1))])


def _styles(metric: str) -> tuple[Style, Style]:
    """How values of a metric and their differences are shown."""
    return ("share", "change") if _UNITS.get(metric) == "share" else ("nats", "signed")


def _aligned(lines: Sequence[tuple[str, ...]], text: tuple[int, ...]) -> list[str]:
    """Columns of equal width, those of `text` to the left, a rule below the first line."""
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    rows = [
        _GAP.join(
            cell.ljust(width) if place in text else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return [rows[0], _GAP.join("-" * width for width in widths), *rows[1:]]


def _block(rows: pandas.DataFrame) -> str:
    """One protocol: what is compared, then a line a comparison."""
    first = rows.iloc[0]
    title = (
        f"{numbers.number(first['metric'], 'text')} of held-out test rows in "
        f"{numbers.counted(int(first['clusters']), 'cluster')}, protocol "
        f"{numbers.number(first['protocol'], 'text')}"
    )
    lines = [_HEADS, *(_cells(row) for row in rows_of(rows))]
    return "\n".join([title, "", *_aligned(lines, _TEXT)])


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    styles = _styles(row["metric"])
    seeds = [numbers.number(row[name], "count") for name in ("seeds_a", "seeds_b")]
    interval = [numbers.number(row[name], styles[1]) for name in ("low", "high")]
    error = row["difference_se"] if not numbers.is_missing(row["difference_se"]) else None
    return (
        numbers.number(row["a"], "text"),
        numbers.number(row["b"], "text"),
        " / ".join(seeds),
        numbers.number(row["value_a"], styles[0]),
        numbers.number(row["value_b"], styles[0]),
        numbers.with_error(row["difference"], error, styles[1]),
        " to ".join(interval) if error is not None else numbers.MISSING,
        numbers.number(row["detectable"], styles[0]),
        numbers.number(row["probability"], "share"),
        numbers.number(row["p_holm"], "share"),
        numbers.number(row["verdict"], "text"),
    )


def _notes(frame: pandas.DataFrame) -> list[str]:
    """How to read the table."""
    tested, seeds = int(frame["p"].notna().sum()), frame[["seeds_a", "seeds_b"]].min(axis=1)
    apart = ", each protocol by itself" if frame["protocol"].nunique(dropna=False) > 1 else ""
    notes = [
        "Runs and held-out rows are both samples: the errors hold the spread over seeds and over rows. p is corrected "
        f"(Holm) for the {numbers.counted(tested, 'comparison')} tested here{apart}; detectable is the difference that "
        "this many runs and rows find in four cases of five, that correction included.",
    ]
    if (seeds < CLAIM_SEEDS).any():
        notes.append(
            f"With fewer than {numbers.counted(CLAIM_SEEDS, 'seed')} of each side there is no claim about "
            "the losses; train more (seeds=)."
        )
    return [line for note in notes for line in textwrap.wrap(note, _WIDTH, break_on_hyphens=False)]
