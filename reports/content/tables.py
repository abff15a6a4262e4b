"""Chooses and orders what a report shows: which protocols, which rows in which order, which columns.

Values stay numbers here; `reports/text/numbers.py` makes them text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas

from reports.content import axes
from reports.content.fields import (
    BETA,
    BY_SOURCE,
    DETAILS,
    HEADLINE,
    LOSS,
    LR,
    MEASURES,
    ROLE,
    SEED,
    SEEDS,
    TRAINED_MODEL,
)
from reports.text import numbers
from reports.text.numbers import Field
from results.schema.row import CAPABILITY_PREFIX, KNOBS, of_source, sources

_SORTED_BY = ("protocol", "control", "beta", *numbers.LABELLED, *KNOBS)
NEEDED = ("loss", "control", "protocol", "cell", "status")
PARAMETER_PREFIX = "hyperparameters."

_ALWAYS_NAMED = ("suite", "model", "tuning", "start", "precision", "train_pairs", "test_pairs")
_NAMED_WHERE_DIFFERENT = (
    *("template", "max_tokens", "batch_size", "epochs"),
    *("suite_revision", "model_revision", "eval_rows_digest"),
)
_IDENTITY = _ALWAYS_NAMED + _NAMED_WHERE_DIFFERENT


@dataclass(frozen=True)
class Protocol:
    """The cells that may be compared with each other, and the settings that they share."""

    id: str
    shared: Mapping[str, Any]
    rows: pandas.DataFrame

    @property
    def done(self) -> pandas.DataFrame:
        """The finished cells."""
        return self.rows[self.rows["status"] == "done"]

    @property
    def unfinished(self) -> pandas.DataFrame:
        """The failed and the skipped cells."""
        return self.rows[self.rows["status"] != "done"]

    @property
    def contenders(self) -> pandas.DataFrame:
        """The finished cells that are no baselines."""
        return self.done[~self.done["control"]]

    @property
    def several_seeds(self) -> bool:
        """Whether a cell is only named in full together with its seed."""
        return "seed" in self.rows.columns and self.rows["seed"].nunique() > 1


def prepared(runs: pandas.DataFrame) -> pandas.DataFrame:
    """The frame in display order: protocols apart, then equal data perturbations together, baselines first, by loss,
    beta, rate and seed. A column `perturbations` names what a row's training rows have of their own.

    Raises: ValueError when a needed column is missing.
    """
    missing = [name for name in NEEDED if name not in runs.columns]
    if missing:
        found = ", ".join(map(str, runs.columns)) or "none"
        raise ValueError(f"Columns missing from the runs: {', '.join(missing)}; found: {found}. Use results.read.")
    frame = runs.assign(control=runs["control"].fillna(False).astype(bool))
    frame["protocol"] = frame["protocol"].astype(object).where(frame["protocol"].notna(), "")
    names = {protocol: axes.varying(rows) for protocol, rows in frame.groupby("protocol")}
    records = [(row, names[row["protocol"]]) for row in numbers.records(frame, *_SORTED_BY)]
    frame["perturbations"] = [axes.named(row, own) for row, own in records]
    order = sorted(range(len(frame)), key=[_sort_key(row, own) for row, own in records].__getitem__)
    return frame.iloc[order].reset_index(drop=True)


def _sort_key(row: Mapping[str, Any], perturbations: tuple[str, ...]) -> tuple[Any, ...]:
    """The place of a row; `perturbations` are those that vary within its protocol."""
    others = json.dumps(numbers.hyperparameters(row), sort_keys=True)
    untrained_first = (str(row["protocol"]), row["loss"] != "none")
    return (
        *untrained_first,
        *axes.sort_key(row, perturbations),
        not row["control"],
        str(row["loss"]),
        _number_key(row.get("beta")),
        _number_key(row.get("lr")),
        others,
        _number_key(row.get("seed")),
        str(row["cell"]),
    )


def _number_key(value: Any) -> tuple[bool, float]:
    return (False, 0.0) if numbers.is_missing(value) else (True, float(value))


def protocols(runs: pandas.DataFrame) -> tuple[Protocol, ...]:
    """The protocols of a frame; cells without one stand together under an empty id."""
    frame = prepared(runs)
    groups = [(str(name), rows.reset_index(drop=True)) for name, rows in frame.groupby("protocol", sort=False)]
    found = [(name, rows, {field: _shared(rows, field) for field in _IDENTITY}) for name, rows in groups]
    telling = [
        field
        for field in _IDENTITY
        if field in _ALWAYS_NAMED or len({str(values[field]) for _, _, values in found}) > 1
    ]
    return tuple(
        Protocol(
            name, {field: values[field] for field in telling if values[field] is not None} | axes.fixed(rows), rows
        )
        for name, rows, values in found
    )


def _shared(rows: pandas.DataFrame, column: str) -> Any:
    """The value that the rows share; several are joined, none is None.

    What was not trained does not count for the training rows: it has none.
    """
    if column not in rows.columns:
        return None
    trained = rows[(rows["loss"] != "none") & (rows["status"] != "skipped")] if column == "train_pairs" else rows
    values = list(dict.fromkeys(value for value in trained[column] if not numbers.is_missing(value)))
    if len(values) > 1:
        return ", ".join(str(value) for value in values)
    return values[0] if values else None


def setting_fields(rows: pandas.DataFrame) -> tuple[Field, ...]:
    """The columns that name a cell: loss, data perturbations that vary, beta, lr, what else varies within a loss, and a
    varying
    seed."""
    seen: dict[tuple[str, str], set[str]] = {}
    for row in numbers.records(rows, "loss", "hyperparameters", "cell"):
        for name, value in numbers.hyperparameters(row).items():
            seen.setdefault((name, row["loss"]), set()).add(repr(value))
    varying = sorted({name for (name, _), values in seen.items() if name != "beta" and len(values) > 1})
    others = tuple(Field(PARAMETER_PREFIX + name, name.replace("_", " "), "ratio", short=name) for name in varying)
    seeds = rows["seed"].nunique() if "seed" in rows.columns else 0
    perturbations = tuple(axes.FIELDS[name] for name in axes.varying(rows))
    given = (TRAINED_MODEL,) if seeds < 2 and _several_models(rows) else ()
    return (LOSS, *given, *perturbations, BETA, LR, *others, *((SEED,) if seeds > 1 else ()))


def _several_models(rows: pandas.DataFrame) -> bool:
    """Whether a loss names several external checkpoints."""
    return "trained_model" in rows.columns and bool((rows.groupby("loss")["trained_model"].nunique() > 1).any())


def headline_fields(rows: pandas.DataFrame, measures: tuple[Field, ...] = HEADLINE) -> tuple[Field, ...]:
    """The columns of the table of settings: what names a setting, how many seeds, its role in a search, the measures
    that some row has."""
    named = tuple(field for field in setting_fields(rows) if field is not SEED)
    several = "seeds" in rows.columns and bool((rows["seeds"] > 1).any())
    roles = "role" in rows.columns and bool(rows["role"].fillna("").astype(bool).any())
    return (*named, *((ROLE,) if roles else ()), *((SEEDS,) if several else ()), *detail_fields(rows, measures))


def detail_fields(rows: pandas.DataFrame, fields: tuple[Field, ...] | None = None) -> tuple[Field, ...]:
    """The further measures (or the given ones) of which at least one row holds a value, lm-eval's tasks last."""
    wanted = (*DETAILS, *_capability_fields(rows)) if fields is None else fields
    return tuple(field for field in wanted if field.column in rows.columns and rows[field.column].notna().any())


def _capability_fields(rows: pandas.DataFrame) -> tuple[Field, ...]:
    """What training cost, a field for each task of lm-eval."""
    return tuple(
        Field(name, task, "change", "capability, change", error=True, short=f"{task}\nchange", drop=1)
        for name in rows.columns
        if name.startswith(CAPABILITY_PREFIX) and not name.endswith(("_se", "_before"))
        for task in (name.removeprefix(CAPABILITY_PREFIX),)
    )


def source_fields(rows: pandas.DataFrame) -> tuple[Field, ...]:
    """Accuracy and change in log-prob on the test pairs of each source of a mixture; none where there is one source."""
    telling = ("preference_accuracy", "chosen_logp_drift")
    short = {field.column: field.short for field in MEASURES}
    shown = [
        name
        for name in sources(rows.columns)
        if any(rows[column].notna().any() for column in (of_source(one, name) for one in telling) if column in rows)
    ]
    return tuple(
        Field(
            of_source(column, name),
            f"{name}: {head}",
            style,
            error=column == "preference_accuracy",
            short=f"{name}\n{short.get(column, head)}",
        )
        for name in shown
        for column, head, style in BY_SOURCE
    )


def with_completions(rows: pandas.DataFrame) -> pandas.DataFrame:
    """The cells whose model completed prompts after training."""
    if "generated_prompts" not in rows.columns:
        return rows.iloc[:0]
    return rows[rows["generated_prompts"].notna()]


def with_parameters(rows: pandas.DataFrame, fields: tuple[Field, ...]) -> pandas.DataFrame:
    """The rows with a column for each hyper-parameter among the fields."""
    names = [field.column for field in fields if field.column.startswith(PARAMETER_PREFIX)]
    given = [numbers.hyperparameters(row) for row in numbers.records(rows, "hyperparameters", "cell")]
    added: dict[str, Any] = {
        name: [values.get(name.removeprefix(PARAMETER_PREFIX)) for values in given] for name in names
    }
    return rows.assign(**added)


def main_table(runs: pandas.DataFrame) -> pandas.DataFrame:
    """The main table as numbers: one row a finished cell, protocols apart, baselines first.

    The columns are those of `results.read` that the reports show, with their standard errors, and one column
    `hyperparameters.<name>` for each hyper-parameter other than beta that varies within a loss.
    """
    frame = prepared(runs)
    done = frame[frame["status"] == "done"].reset_index(drop=True)
    fields = (*setting_fields(done), *MEASURES)
    table = with_parameters(done, fields)
    shown = [name for field in fields for name in (field.column, f"{field.column}_se")]
    leading = ["protocol", "control", *shown, "reward", "n", "n_clusters", "cell"]
    return table[[name for name in leading if name in table.columns]]
