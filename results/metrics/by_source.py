"""The metrics of each source of a mixture apart: where two objectives pull against each other, it shows here."""

from typing import TYPE_CHECKING

from results import metrics
from results.metrics.pair_table import checked
from results.schema.row import BY_SOURCE, SOURCE, of_source

if TYPE_CHECKING:
    import pandas as pd


def by_source(pairs: "pd.DataFrame") -> dict[str, float | int]:
    """The metrics of BY_SOURCE for each source of a pair table, as `preference_accuracy[helpful]`, sorted by source.

    Empty for a table without the column `source`. Raises: ValueError for a bad table.
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
