"""The metrics of each source of a mixture apart: where two objectives pull against each other, it shows here."""

from typing import TYPE_CHECKING

from results import metrics
from results.columns import BY_SOURCE, SOURCE, names, of_source
from results.pair_table import checked

if TYPE_CHECKING:
    import pandas as pd


def by_source(pairs: "pd.DataFrame") -> dict[str, float | int]:
    """The columns of BY_SOURCE for each source of a pair table, as `preference_accuracy[helpful]`.

    Sources are in the order in which they first appear by name; empty for a table of one source.
    Raises: ValueError for a bad table.
    """
    if SOURCE.name not in pairs.columns:
        return {}
    values: dict[str, float | int] = {}
    for source, rows in pairs.groupby(SOURCE.name):
        table = checked(rows)
        for name in names(BY_SOURCE):
            if name in metrics.METRICS:
                found = metrics.estimate(name, table)
                values[of_source(name, str(source))] = found.value
                values[of_source(f"{name}_se", str(source))] = found.se
            elif name in metrics.COUNTS:
                values[of_source(name, str(source))] = metrics.COUNTS[name](table)
    return values
