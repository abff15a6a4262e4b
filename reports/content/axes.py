"""The data perturbations in a table: which vary, how they are named, and accuracy against one.

Cells that differ in one of them stand in one table and are not ranked against each other. Values stay numbers
here; `reports/figures/axes.py` draws them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas

from reports.text import numbers
from reports.text.numbers import Field
from results.cells.frames import rows_of
from results.schema.row import KNOBS

FIELDS: Mapping[str, Field] = {
    field.column: field
    for field in (
        Field("train_pairs", "train pairs", "count", short="train\npairs"),
        Field("label_noise", "label noise", "ratio", short="label\nnoise"),
        Field("length_balance", "length balance", "text", short="length\nbalance"),
        Field("min_margin", "min margin", "ratio", short="min\nmargin"),
        Field("round", "round", "count"),
        Field("reference", "reference", "text"),
        Field("rated_by", "rated by", "text"),
    )
}
DRAWN = ("label_noise", "train_pairs", "round")
"""The axes that accuracy is drawn against."""

_OF_LATER_ROUNDS = ("reference", "rated_by")
"""Those that say nothing of a first round: its missing value is no value of its own."""

_DEFAULTS: Mapping[str, Any] = {"label_noise": 0.0, "length_balance": False, "round": 1}


def varying(rows: pandas.DataFrame) -> tuple[str, ...]:
    """The data perturbations that the trained rows do not share."""
    return tuple(name for name, values in _values(rows).items() if len(values) > 1)


def _values(rows: pandas.DataFrame) -> dict[str, set[Any]]:
    """The values of each data perturbation among the trained rows."""
    kept = [name for name in ("loss", "lr", *KNOBS) if name in rows.columns]
    trained = [row for row in rows_of(rows[kept]) if _is_trained(row)]
    found = {name: {value_of(row, name) for row in trained} for name in KNOBS}
    return found | {name: found[name] - {None} for name in _OF_LATER_ROUNDS}


def fixed(rows: pandas.DataFrame) -> dict[str, str]:
    """By name, the data perturbations besides train_pairs that all trained rows share, other than the default."""
    found = _values(rows)
    alone = {name: found[name].pop() for name in KNOBS[1:] if len(found[name]) == 1}
    return {name: _shown(value, name) for name, value in alone.items() if value != _DEFAULTS.get(name)}


def named(row: Mapping[str, Any], names: Iterable[str]) -> str:
    """Some data perturbations of a row: "train pairs 256, label noise 0.2"; empty for an untrained one."""
    if not _is_trained(row):
        return ""
    return ", ".join(f"{FIELDS[name].head} {_shown(value_of(row, name), name)}" for name in names)


def sort_key(row: Mapping[str, Any], names: Iterable[str]) -> tuple[float | str, ...]:
    """Rows of equal data perturbations stand together, by the values of some of them."""
    values = {name: value_of(row, name) for name in names}
    return tuple(
        str(value or "") if name in _OF_LATER_ROUNDS else -1.0 if value is None else float(value)
        for name, value in values.items()
    )


def value_of(row: Mapping[str, Any], name: str) -> Any:
    """A data perturbation of a row; None where it has no value."""
    value = row.get(name)
    return _DEFAULTS.get(name) if numbers.is_missing(value) else value


def _shown(value: Any, name: str) -> str:
    return "none" if value is None else numbers.number(value, FIELDS[name].style)


def _is_trained(row: Mapping[str, Any]) -> bool:
    return row["loss"] != "none" and not numbers.is_missing(row.get("lr"))


def against(rows: pandas.DataFrame, axis: str) -> pandas.DataFrame:
    """Preference accuracy by setting and value of an axis, averaged over seeds: one row a point.

    Columns: loss, control, setting (its name, without the axis), value, seeds, preference_accuracy and its se:
    the mean of the seeds' clustered errors, because all seeds are measured on the same pairs. Empty where the
    axis does not vary.
    """
    names = varying(rows)
    if axis not in names:
        return pandas.DataFrame()
    others = [name for name in names if name != axis]
    points: dict[tuple[str, Any], list[Mapping[str, Any]]] = {}
    for row in rows_of(rows):
        if _is_trained(row) and not numbers.is_missing(row.get("preference_accuracy")):
            setting = numbers.label({**row, "perturbations": named(row, others)}, seed=False)
            points.setdefault((setting, value_of(row, axis)), []).append(row)
    lines: list[dict[str, Any]] = [
        {
            "loss": same[0]["loss"],
            "control": same[0]["control"],
            "setting": setting,
            "value": float(value),
            "seeds": len(same),
            "preference_accuracy": _mean(same, "preference_accuracy"),
            "preference_accuracy_se": _mean(same, "preference_accuracy_se"),
        }
        for (setting, value), same in points.items()
    ]
    order = {setting: place for place, setting in enumerate(dict.fromkeys(line["setting"] for line in lines))}
    lines.sort(key=lambda line: (order[line["setting"]], line["value"]))
    return pandas.DataFrame(lines)


def _mean(rows: Iterable[Mapping[str, Any]], name: str) -> float:
    return float(pandas.Series([row.get(name) for row in rows], dtype="float64").mean())
