"""Turns values into text: the only file that formats numbers.

Text is made visible here (no control characters) and escaped for its medium by the writer.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from reports.text import escape
from results.cells.frames import rows_of
from results.schema.row import ROW_COLUMNS

if TYPE_CHECKING:
    import pandas

Style = Literal["text", "share", "change", "nats", "signed", "ratio", "lr", "count", "seconds", "gibibytes"]

MISSING = "–"
ARROWS = {"up": "↑", "down": "↓", "none": ""}
COLUMNS = {column.name: column for column in ROW_COLUMNS}
MADE = {
    "seeds": "trained seeds of the setting",
    "interval": "95 % interval of preference_accuracy: over seeds and test pairs from 3 seeds on, else over test pairs",
}
"""What columns mean that a report makes itself."""


@dataclass(frozen=True)
class Field:
    """One displayed column: which value, under which heading, in which style.

    `short` is the heading on a terminal, at most three lines; an empty one keeps the field out of it.
    `drop` orders what a narrow terminal leaves out first; 0 is never left out.
    """

    column: str
    head: str
    style: Style
    group: str = ""
    error: bool = False
    short: str = ""
    drop: int = 0


def is_missing(value: Any) -> bool:
    """Whether a table holds no value here (None, NaN, NA)."""
    return value is None or value is _pandas_na() or (isinstance(value, float) and math.isnan(value))


LABELLED = ("loss", "hyperparameters", "lr", "perturbations", "seed", "cell")
"""The columns that `label` and `settings` read."""


def records(frame: "pandas.DataFrame", *names: str) -> "list[dict[str, Any]]":
    """The rows as mappings of those of the named columns that there are: of wide frames, all would take long."""
    return rows_of(frame[[name for name in dict.fromkeys(names) if name in frame.columns]])


def _pandas_na() -> Any:
    import pandas

    return pandas.NA


_UNSIGNED: Mapping[Style, Style] = {"change": "share", "signed": "nats"}
"""Signed styles, and how an error of such a value is written."""


def number(value: Any, style: Style) -> str:
    """One value as text; a missing one as a dash. Raises: KeyError for a style that is not declared."""
    if is_missing(value):
        return MISSING
    if style != "text" and isinstance(value, int | float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return _STYLES[style](value)


def with_error(value: Any, error: Any, style: Style) -> str:
    """A value and its standard error; only the value where the error is missing."""
    plain: Style = _UNSIGNED.get(style, style)
    text = number(value, style)
    return text if is_missing(value) or is_missing(error) else f"{text} ± {number(error, plain)}"


def counted(value: int, noun: str) -> str:
    """A count with its noun, in the plural where due: "1 seed", "7 cells"."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "es" if noun.endswith("ss") else noun + "s"
    return f"{number(value, 'count')} {noun if value == 1 else plural}"


def coordinate(value: float) -> str:
    """A position inside a drawing, in pixels."""
    return _fixed(value, 1)


def tick(value: float) -> str:
    """The label of an axis tick."""
    return _general(round(value, 10), 4)


def hyperparameters(row: Mapping[str, Any]) -> dict[str, float]:
    """A cell's hyper-parameters by name; none where the column is missing.

    Raises: ValueError when the column holds something else than a JSON object.
    """
    text: Any = row.get("hyperparameters")
    if is_missing(text):
        return {}
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError) as error:
        seen = f"Cell {row.get('cell')}: the column hyperparameters holds {text!r}"
        raise ValueError(f'{seen}, which is no JSON object such as {{"beta": 0.1}}; retrain the cell.') from error


def settings(row: Mapping[str, Any], *, seed: bool) -> str:
    """What was set for a cell: "beta 0.1, lr 1e-5, seed 0"; gamma beside its ratio, `perturbations` as given.

    An external checkpoint of a known loss is named, where no seed does it.
    """
    parts = [f"{escape.visible(name)} {_setting(value)}" for name, value in hyperparameters(row).items()]
    named = hyperparameters(row)
    if {"gamma_beta_ratio", "beta"} <= named.keys():
        parts.append(f"gamma {_setting(named['gamma_beta_ratio'] * named['beta'])}")
    if not is_missing(row.get("lr")):
        parts.append(f"lr {number(row['lr'], 'lr')}")
    if row.get("perturbations"):
        parts.append(row["perturbations"])
    if not is_missing(row.get("trained_model")) and not is_missing(row.get("reward")) and is_missing(row.get("seed")):
        parts.append(f"model {number(row['trained_model'], 'text')}")
    if seed and not is_missing(row.get("seed")):
        parts.append(f"seed {number(row['seed'], 'text')}")
    return ", ".join(parts)


def _setting(value: Any) -> str:
    return number(value, "ratio") if isinstance(value, int | float) else escape.visible(str(value))


def label(row: Mapping[str, Any], *, seed: bool) -> str:
    """The name of a cell: its loss and what was set for it."""
    return " ".join(part for part in (number(row["loss"], "text"), settings(row, seed=seed)) if part)


def change(first: float, last: float, column: str) -> str:
    """Where a curve began and ended, as text."""
    style: Style = "share" if column == "accuracy" else "nats"
    return f"{number(first, style)} → {number(last, style)}"


def opacity(value: float) -> str:
    """An opacity for a style attribute."""
    return _general(value, 2)


def csv_text(frame: "pandas.DataFrame") -> str:
    """A frame as CSV in full precision; text that a spreadsheet would run as a formula is marked."""
    safe = frame.rename(columns=lambda name: escape.csv_cell(str(name)))
    guarded = {name: safe[name].map(_csv_value) for name in safe.columns if safe[name].dtype.kind not in "fiub"}
    return safe.assign(**guarded).to_csv(index=False, lineterminator="\n")


def _csv_value(value: Any) -> Any:
    return escape.csv_cell(value) if isinstance(value, str) else value


def _fixed(value: float, places: int, sign: str = "") -> str:
    """A fixed number of places, without the sign of a rounded zero."""
    text = f"{value:{sign}.{places}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def _general(value: float, digits: int) -> str:
    """Significant digits, the exponent in its shortest form: 0.1, 2, 1e-5."""
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def _learning_rate(value: float) -> str:
    """Always as a power of ten, so that a column of rates lines up: 1e-5, 3.3e-6."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)) + 1e-12)
    return f"{_general(value / 10**exponent, 3)}e{exponent}"


_STYLES: dict[str, Callable[[Any], str]] = {
    "text": lambda value: escape.visible(str(value)),
    "share": lambda value: _fixed(value, 3),
    "change": lambda value: _fixed(value, 3, "+"),
    "nats": lambda value: _fixed(value, 2),
    "signed": lambda value: _fixed(value, 2, "+"),
    "ratio": lambda value: _general(value, 4),
    "lr": _learning_rate,
    "count": lambda value: f"{int(value):,}",
    "seconds": lambda value: _fixed(value, 1 if value < 10 else 0),
    "gibibytes": lambda value: _fixed(value / 2**30, 2),
}
