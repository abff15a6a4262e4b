"""The columns of a row that follow from its tables: computed once when a cell is stored, again to verify it."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from results import metrics
from results.metrics.pair_table import checked
from results.schema.row import BY_SOURCE, SOURCE, of_source

if TYPE_CHECKING:
    import pandas as pd


_AT_START = ("margin", "chosen_logp_drift")
"""What a later round is measured for before its first update."""


def derived(
    pairs: "pd.DataFrame", curve: "pd.DataFrame | None", *, reward: str | None, beta: float | None, noise_floor: float
) -> dict[str, float | int]:
    """Every column of the last evaluation, and of the training curve where there is one.

    `pairs` holds one cell's evaluations, all steps and splits; `reward` and `beta` are the loss's own, None where
    it has none; `noise_floor` in nats.
    Raises: ValueError for a bad pair table.
    """
    if pairs.empty:
        raise ValueError("The pair table holds no rows; a finished cell has measured some.")
    last = pairs[pairs["step"] == pairs["step"].max()]
    test, validation = (last[last["split"] == split] for split in ("test", "validation"))
    numbers: dict[str, float | int] = {"steps": int(last["step"].iloc[0])}
    numbers |= metrics.measure(test, reward=reward, beta=beta, noise_floor=noise_floor)
    numbers |= by_source(test)
    begun = pairs[(pairs["step"] == 0) & (pairs["split"] == "test")]
    if numbers["steps"] > 0 and len(begun):
        numbers |= {f"{name}_at_start": metrics.estimate(name, begun).value for name in _AT_START}
    if len(validation):
        found = metrics.estimate("preference_accuracy", validation)
        numbers["validation_preference_accuracy"] = found.value
        numbers["validation_preference_accuracy_se"] = found.se
        numbers["validation_preference_accuracy_at_start"] = metrics.preference_accuracy_at_start(validation)
    if curve is not None and len(curve):
        seconds, tokens = float(curve["seconds"].iloc[-1]), int(curve["tokens"].iloc[-1])
        numbers["train_seconds"] = seconds
        numbers["tokens_per_second"] = tokens / seconds
        numbers["clipped_fraction"] = metrics.clipped_fraction(curve)
    return numbers


def by_source(pairs: "pd.DataFrame") -> dict[str, float | int]:
    """The metrics of BY_SOURCE for each source of a mixture apart, as `preference_accuracy[helpful]`, sorted by source.

    Where two objectives pull against each other, it shows here. Empty for a table without the column `source`.
    Raises: ValueError for a bad table.
    """
    values: dict[str, float | int] = {}
    for source, rows in pairs.groupby(SOURCE.name) if SOURCE.name in pairs.columns else ():
        table = checked(rows)
        for name in BY_SOURCE:
            column = of_source(name, str(source))
            if name in metrics.COUNTS:
                values[column] = metrics.COUNTS[name](table)
            else:
                values[column], values[f"{column}_se"] = metrics.estimate(name, table)
    return values


def derived_again(
    row: Mapping[str, Any], pairs: "pd.DataFrame", curve: "pd.DataFrame | None"
) -> dict[str, float | int]:
    """`derived` of a stored row's tables, with the ruler, the strength and the noise floor that the row names.

    Raises: ValueError for a bad pair table, or hyperparameters that are no JSON object.
    """
    given = row.get("hyperparameters") or {}
    settings = json.loads(given) if isinstance(given, str) else given
    if not isinstance(settings, dict):
        raise ValueError(f"hyperparameters are {given!r}, which is no JSON object.")
    noise = row.get("noise_floor") or 0.0
    return derived(pairs, curve, reward=row.get("reward"), beta=settings.get("beta"), noise_floor=noise)
