"""The rows of cells in long form: one row a cell and metric, for plotting libraries and group-bys."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from results.cells.frames import typed_frame
from results.cells.read import read
from results.schema.column import Column, real
from results.schema.row import CAPABILITY_PREFIX, METRIC_COLUMNS, PAIR_METRIC_COLUMNS, names, of_source, sources
from results.schema.tables import LONG_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_KEYS = tuple(name for name in names(LONG_COLUMNS) if name not in ("metric", "value", "se", "n", "unit", "better"))
_COUNTED_BY = (
    {
        "accuracy_chosen_longer": "pairs_chosen_longer",
        "accuracy_chosen_shorter": "pairs_chosen_shorter",
        "validation_preference_accuracy": "validation_pairs",
        "validation_preference_accuracy_at_start": "validation_pairs",
        "clipped_fraction": "steps",
        "noise_floor": "",
        "training_noise_floor": "",
    }
    | dict.fromkeys(
        (
            "win_rate",
            "win_rate_length_controlled",
            "tie_share",
            "invalid_share",
            "position_consistency",
            "length_agreement",
        ),
        "judged_prompts",
    )
    | dict.fromkeys(
        (
            "canary_constant",
            "canary_copied_prompt",
            "canary_injection",
            "accuracy_length_balanced",
            "length_bias",
            "length_bias_preference_part",
            "length_bias_length_part",
            "reward_length_bias",
            "chosen_logp_drift_rest",
            "rejected_logp_drift_rest",
        ),
        "",
    )
)
"""Metric -> the column that counts what it is a mean over; "" where the row has no such count."""


def metrics_long(runs: "Path | str | pd.DataFrame") -> "pd.DataFrame":
    """Every measured number of the cells: one row a cell and metric that has a value, in the columns of LONG_COLUMNS.

    `runs` is a frame of `results.read`, or a path for it. Metrics are the declared ones and those by source
    (`preference_accuracy[helpful]`) or by lm-eval task; standard errors stand beside their value and are no rows.
    Raises: FileNotFoundError where a path holds no cell, ValueError for a frame without the needed columns.
    """
    import pandas as pd

    frame = read(runs) if isinstance(runs, str | Path) else runs
    missing = [name for name in _KEYS if name not in frame.columns]
    if missing:
        raise ValueError(f"Columns missing from the runs: {', '.join(missing)}. Use results.read.")
    keys = frame[list(_KEYS)].reset_index(drop=True)
    parts = [_part(frame.reset_index(drop=True), keys, column) for column in _metrics(frame)]
    long = pd.concat(parts).sort_index(kind="stable") if parts else keys.iloc[:0]
    return typed_frame(long.reindex(columns=list(names(LONG_COLUMNS))), LONG_COLUMNS, "long")


def _metrics(frame: "pd.DataFrame") -> Iterator[Column]:
    """The columns that are metrics: numbers that are neither errors nor counts."""
    for column in METRIC_COLUMNS:
        if column.dtype == "float64" and not column.name.endswith("_se") and column.name in frame.columns:
            yield column
    declared = {column.name: column for column in PAIR_METRIC_COLUMNS if column.dtype == "float64"}
    for source in sources(frame.columns):
        for name, column in declared.items():
            if of_source(name, source) in frame.columns:
                yield real(of_source(name, source), column.unit, column.meaning, column.better)
    for name in frame.columns:
        if name.startswith(CAPABILITY_PREFIX) and not name.endswith(("_se", "_before")):
            yield real(name, "as the task defines it", "lm-eval score after training minus before", "up")


def _part(frame: "pd.DataFrame", keys: "pd.DataFrame", column: Column) -> "pd.DataFrame":
    """The rows of one metric, under the row numbers of their cells; single rated completions are no pairs to count."""
    import pandas as pd

    name, nothing = column.name, pd.Series(float("nan"), index=frame.index)
    counts = pd.to_numeric(frame.get(_counted_by(name), nothing))
    part = keys.assign(
        metric=name,
        value=frame[name],
        se=frame.get(f"{name}_se", nothing),
        n=counts.where(counts > 0),
        unit=column.unit,
        better=column.better,
    )
    return part[part["value"].notna()]


def _counted_by(name: str) -> str:
    """The column that counts what a metric is a mean over."""
    if "[" in name:
        return of_source("n", name.partition("[")[2].removesuffix("]"))
    if name in names(PAIR_METRIC_COLUMNS) or name in _COUNTED_BY:
        return _COUNTED_BY.get(name, "n")
    return "" if name.startswith(CAPABILITY_PREFIX) else "generated_prompts"
