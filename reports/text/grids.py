"""Tables as text: a `Grid` of strings, which the writers of HTML, Markdown, LaTeX and the terminal only lay out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.text import escape, numbers
from reports.text.numbers import Field
from results.cells.frames import rows_of

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Head:
    """The heading of a displayed column; `meaning` and `arrow` come from the declared schema."""

    text: str
    group: str
    meaning: str
    arrow: str
    numeric: bool


@dataclass(frozen=True)
class Line:
    """One displayed row: its texts, a fuller text per value for hovering, and the cell's loss.

    Rows of one `group` may be compared with each other. `best` are the places of the texts that may be the best of
    their column: every value that the test over seeds and rows cannot distinguish from the best.
    """

    texts: tuple[str, ...]
    hovers: tuple[str, ...]
    loss: str
    control: bool
    group: str = ""
    best: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Grid:
    """A table as text."""

    heads: tuple[Head, ...]
    lines: tuple[Line, ...]


def grid(table: "pandas.DataFrame", fields: Sequence[Field]) -> Grid:
    """A table as text, one column a field; a column `best` of the table holds the names of a row's best columns."""
    shown = [name for field in fields for name in (field.column, f"{field.column}_se")]
    records = numbers.records(table, "loss", "control", "perturbations", "best", *shown)
    return Grid(tuple(_head(field) for field in fields), tuple(_line(record, fields) for record in records))


def _head(field: Field) -> Head:
    column = numbers.COLUMNS.get(field.column.partition("[")[0])
    made = numbers.MADE.get(field.column, f"hyper-parameter {field.head}")
    meaning = f"{column.name}: {column.meaning} ({column.unit})" if column else made
    arrow = numbers.ARROWS[column.better] if column else ""
    text = f"{field.head} ± se" if field.error else field.head
    return Head(escape.visible(text), field.group, escape.visible(meaning), arrow, field.style != "text")


def _line(record: Mapping[str, Any], fields: Sequence[Field]) -> Line:
    shown, hovers = [], []
    for field in fields:
        value, error = record.get(field.column), record.get(f"{field.column}_se")
        full = numbers.with_error(value, error, field.style)
        shown.append(full if field.error else numbers.number(value, field.style))
        hovers.append("" if full == shown[-1] else f"{full} (standard error)")
    group = record.get("perturbations") or ""
    named = record.get("best") or frozenset()
    best = frozenset(place for place, field in enumerate(fields) if field.column in named)
    loss = numbers.number(record["loss"], "text")
    return Line(tuple(shown), tuple(hovers), loss, bool(record["control"]), group, best)


def crossed(
    rows: "pandas.DataFrame",
    by: str,
    across: str,
    head: Callable[[Any], Head],
    text: Callable[[Mapping[str, Any]], str],
    first: str = "setting",
) -> Grid:
    """A grid with a line for each value of the column `by` and a column for each of `across`, in growing order.

    `head` makes a heading of a value of `across`, `text` the text of a row; where there is no row, a dash. The rows
    need the columns loss and control; `by` holds names.
    """
    values = sorted(set(rows[across]))
    heads = (Head(first, "", "loss and settings", "", False), *(head(value) for value in values))
    lines = []
    for name, same in rows.groupby(by, sort=False):
        texts = {record[across]: text(record) for record in rows_of(same)}
        shown = (str(name), *(texts.get(value, numbers.MISSING) for value in values))
        owner = same.iloc[0]
        lines.append(Line(shown, ("",) * len(shown), numbers.number(owner["loss"], "text"), bool(owner["control"])))
    return Grid(heads, tuple(lines))


def plain(heads: Sequence[tuple[str, bool]], rows: Sequence[tuple[str, Sequence[str]]]) -> Grid:
    """A grid of given texts: headings with whether they stand over numbers, and rows as a loss with its texts."""
    return Grid(
        tuple(Head(text, "", "", "", numeric) for text, numeric in heads),
        tuple(Line(tuple(texts), ("",) * len(texts), loss, False) for loss, texts in rows),
    )
