"""Chooses and orders what a report shows: which protocols, which rows in which order, which columns.

Values stay numbers here; `render.py` makes them text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas

from reports import render
from reports.render import Field

NEEDED = ("loss", "control", "protocol", "cell", "status")
PARAMETER_PREFIX = "hyperparameters."

_LOSS = Field("loss", "loss", "text", short="loss")
_BETA = Field("beta", "beta", "ratio", short="beta")
_LR = Field("lr", "lr", "lr", short="lr")
_SEED = Field("seed", "seed", "text", short="seed")

_ACCURACY, _LENGTH, _DRIFT, _STRENGTH, _COST = (
    "accuracy on held-out pairs",
    "by answer length",
    "log-prob drift, nats",
    "strength",
    "cost",
)
MEASURES: tuple[Field, ...] = (
    Field("preference_accuracy", "sum ratio", "share", _ACCURACY, error=True, short="accuracy\nsum ratio"),
    Field("mean_ratio_accuracy", "mean ratio", "share", _ACCURACY, short="mean\nratio", drop=3),
    Field("reward_accuracy", "own ruler", "share", _ACCURACY, short="own\nruler", drop=4),
    Field(
        "mean_likelihood_accuracy_gain", "likelihood gain", "change", _ACCURACY, short="lik.\ngain", drop=9
    ),
    Field("accuracy_chosen_longer", "chosen longer", "share", _LENGTH, short="chosen\nlonger", drop=1),
    Field("accuracy_chosen_shorter", "chosen shorter", "share", _LENGTH, short="chosen\nshorter", drop=1),
    Field(
        "accuracy_length_balanced", "length balanced", "share", _LENGTH, short="length\nbalanced", drop=5
    ),
    Field("chosen_logp_drift", "chosen drift", "drift", _DRIFT, short="drift\nchosen", drop=2),
    Field("rejected_logp_drift", "rejected drift", "drift", _DRIFT, short="drift\nrejected", drop=2),
    Field("displaced_fraction", "displaced", "share", _DRIFT, short="dis-\nplaced", drop=6),
    Field("margin", "margin, nats", "nats", _STRENGTH, short="margin\nnats", drop=8),
    Field("effective_beta", "effective beta", "ratio", _STRENGTH, short="effect.\nbeta", drop=7),
    Field("train_seconds", "train, s", "seconds", _COST, short="train\ns", drop=7),
)
DETAILS: tuple[Field, ...] = (
    Field("validation_preference_accuracy", "validation sum ratio", "share", "accuracy", error=True),
    Field("reward_accuracy_gain", "own ruler gain", "change", "accuracy"),
    Field("likelihood_accuracy", "sum likelihood", "share", "accuracy"),
    Field("likelihood_accuracy_gain", "sum likelihood gain", "change", "accuracy"),
    Field("mean_likelihood_accuracy", "mean likelihood", "share", "accuracy"),
    Field("undecided_fraction", "undecided", "share", "accuracy"),
    Field("length_bias", "length bias", "change", "length"),
    Field("reward_length_bias", "own ruler length bias", "change", "length"),
    Field("length_spearman", "length Spearman", "change", "length"),
    Field("length_slope", "length slope", "drift", "length"),
    Field("reward_length_correlation", "reward-length correlation", "change", "length"),
    Field("margin_std", "margin sd", "nats", "margin, nats"),
    Field("margin_preference_part", "preference part", "drift", "margin, nats"),
    Field("margin_length_part", "length part", "drift", "margin, nats"),
    Field("chosen_logp_drift_per_token", "chosen drift per token", "change", "log-prob drift, nats"),
    Field("rejected_logp_drift_per_token", "rejected drift per token", "change", "log-prob drift, nats"),
    Field("steps", "steps", "count", "training"),
    Field("clipped_fraction", "clipped", "share", "training"),
    Field("tokens_per_second", "tokens per s", "count", "training"),
    Field("peak_memory_bytes", "peak GiB", "gibibytes", "training"),
    Field("cell", "cell id", "text", "training"),
)
_GOLD, _SAMPLES = "gold reward", "samples"
ANSWERS: tuple[Field, ...] = (
    Field("kl", "KL, nats", "nats", error=True, short="KL\nnats"),
    Field("gold_reward", "gold reward", "drift", _GOLD, error=True, short="gold\nreward"),
    Field("gold_reward_gain", "gain", "drift", _GOLD, error=True, short="gain over\nreference"),
    Field("win_rate", "win rate", "share", "judge", error=True, short="win\nrate"),
    Field("win_rate_length_controlled", "at equal length", "share", "judge", short="equal\nlength", drop=3),
    Field("generated_tokens", "tokens", "nats", _SAMPLES, short="tokens", drop=1),
    Field("length_ratio", "length ratio", "nats", _SAMPLES, short="length\nratio", drop=2),
    Field("truncated_fraction", "cut", "share", _SAMPLES, short="cut", drop=2),
    Field("distinct_2", "distinct-2", "share", _SAMPLES, short="distinct\n2", drop=1),
)
"""The table of generated answers: what a policy gained in reward, and the KL at which it did."""

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
        """The finished cells that are no controls."""
        return self.done[~self.done["control"]]

    @property
    def several_seeds(self) -> bool:
        """Whether a cell is only named in full together with its seed."""
        return "seed" in self.rows.columns and self.rows["seed"].nunique() > 1


def prepared(runs: pandas.DataFrame) -> pandas.DataFrame:
    """The frame in display order: protocols apart, controls first, then by loss, strength, rate and seed.

    Raises: ValueError when a needed column is missing.
    """
    missing = [name for name in NEEDED if name not in runs.columns]
    if missing:
        found = ", ".join(map(str, runs.columns)) or "none"
        raise ValueError(
            f"Columns missing from the runs: {', '.join(missing)}; found: {found}. Use results.read."
        )
    frame = runs.assign(control=runs["control"].fillna(False).astype(bool))
    frame["protocol"] = frame["protocol"].astype(object).where(frame["protocol"].notna(), "")
    order = sorted(range(len(frame)), key=[_sort_key(row) for row in frame.to_dict("records")].__getitem__)
    return frame.iloc[order].reset_index(drop=True)


def _sort_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    strength = _number_key(row.get("beta"))
    others = json.dumps(render.hyperparameters(row), sort_keys=True)
    place = (str(row["protocol"]), not row["control"], row["loss"] != "none", str(row["loss"]))
    return (
        *place,
        strength,
        _number_key(row.get("lr")),
        others,
        _number_key(row.get("seed")),
        str(row["cell"]),
    )


def _number_key(value: Any) -> tuple[bool, float]:
    return (False, 0.0) if render.is_missing(value) else (True, float(value))


def protocols(runs: pandas.DataFrame) -> tuple[Protocol, ...]:
    """The protocols of a frame; cells without one stand together under an empty id."""
    frame = prepared(runs)
    groups = [
        (str(name), rows.reset_index(drop=True)) for name, rows in frame.groupby("protocol", sort=False)
    ]
    found = [(name, rows, {field: _shared(rows, field) for field in _IDENTITY}) for name, rows in groups]
    telling = [
        field
        for field in _IDENTITY
        if field in _ALWAYS_NAMED or len({str(values[field]) for _, _, values in found}) > 1
    ]
    return tuple(
        Protocol(name, {field: values[field] for field in telling if values[field] is not None}, rows)
        for name, rows, values in found
    )


def _shared(rows: pandas.DataFrame, column: str) -> Any:
    """The value that the rows share; several are joined, none is None.

    The untrained control does not count for the training rows: it has none.
    """
    if column not in rows.columns:
        return None
    trained = rows[rows["loss"] != "none"] if column == "train_pairs" else rows
    values = list(dict.fromkeys(value for value in trained[column] if not render.is_missing(value)))
    if len(values) > 1:
        return ", ".join(str(value) for value in values)
    return values[0] if values else None


def setting_fields(rows: pandas.DataFrame) -> tuple[Field, ...]:
    """The columns that name a cell: loss, beta, lr, what else varies within a loss, and a varying seed."""
    seen: dict[tuple[str, str], set[str]] = {}
    for row in rows.to_dict("records"):
        for name, value in render.hyperparameters(row).items():
            seen.setdefault((name, row["loss"]), set()).add(repr(value))
    varying = sorted({name for (name, _), values in seen.items() if name != "beta" and len(values) > 1})
    others = tuple(Field(PARAMETER_PREFIX + name, name, "ratio", short=name) for name in varying)
    seeds = rows["seed"].nunique() if "seed" in rows.columns else 0
    return (_LOSS, _BETA, _LR, *others, *((_SEED,) if seeds > 1 else ()))


def detail_fields(rows: pandas.DataFrame, fields: tuple[Field, ...] = DETAILS) -> tuple[Field, ...]:
    """The further measures (or others) of which at least one row holds a value."""
    return tuple(
        field for field in fields if field.column in rows.columns and rows[field.column].notna().any()
    )


def answered(rows: pandas.DataFrame) -> pandas.DataFrame:
    """The cells that answered prompts after training."""
    if "generated_prompts" not in rows.columns:
        return rows.iloc[:0]
    return rows[rows["generated_prompts"].notna()]


def with_parameters(rows: pandas.DataFrame, fields: tuple[Field, ...]) -> pandas.DataFrame:
    """The rows with a column for each hyper-parameter among the fields."""
    names = [field.column for field in fields if field.column.startswith(PARAMETER_PREFIX)]
    given = [render.hyperparameters(row) for row in rows.to_dict("records")]
    added = {name: [values.get(name.removeprefix(PARAMETER_PREFIX)) for values in given] for name in names}
    return rows.assign(**added)


def main_table(runs: pandas.DataFrame) -> pandas.DataFrame:
    """The main table as numbers: one row a finished cell, protocols apart, controls first.

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


def over_seeds(rows: pandas.DataFrame, columns: tuple[str, ...]) -> pandas.DataFrame:
    """Mean over seeds of some columns, one row a setting trained with several seeds, with the count of seeds.

    Lowest and highest value stand beside each mean as `<column>_low` and `<column>_high`: with few seeds the
    range says more honestly than a deviation how far equal runs lie apart.
    """
    present = [name for name in columns if name in rows.columns]
    keyed = rows.assign(setting=[render.label(row, seed=False) for row in rows.to_dict("records")])
    found = []
    for name, same in keyed.groupby("setting", sort=False):
        if same["seed"].nunique() < 2:
            continue
        line: dict[str, Any] = {
            "setting": name,
            "seeds": int(same["seed"].nunique()),
            "loss": same["loss"].iloc[0],
            "control": bool(same["control"].iloc[0]),
        }
        for column in present:
            line |= {
                column: same[column].mean(),
                f"{column}_low": same[column].min(),
                f"{column}_high": same[column].max(),
            }
        found.append(line)
    return pandas.DataFrame(found)
