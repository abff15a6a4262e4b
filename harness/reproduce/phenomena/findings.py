"""What papers and tutorials say about training, each finding with its source: `results/published/phenomena.csv`.

Most are signs (this falls, that one is above the other), because the models here are smaller than theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from harness.reproduce.frame import Check, phenomenon
from results.literature import tables
from results.literature.tables import Figure

TABLE = "phenomena"


def signed(
    row: str, finding: str, values: Sequence[float], *, quantity: str = "", note: str = "", follows: bool = False
) -> Check:
    """A published sign beside values measured over runs, one a seed.

    finding: the row of the table, `WHO: WHAT`; quantity: what is shown, WHAT where it is not given.
    """
    figure = figure_of(finding, "sign")
    above = figure.value > 0
    limit = {"low": 0.0} if above else {"high": 0.0}
    return phenomenon(
        row,
        quantity or finding.partition(": ")[2],
        f"{'> 0' if above else '< 0'} ({source(figure)})",
        values,
        **limit,
        note=note,
        follows=follows,
    )


def figure_of(finding: str, quantity: str) -> Figure:
    """One line of the table. Raises: LookupError where there is none."""
    found = _lines().get((finding, quantity))
    if found is None:
        raise LookupError(f"no published {quantity} of {finding!r} in {TABLE}.csv")
    return found


def source(figure: Figure) -> str:
    """Where a figure stands: the paper and the place in it."""
    return f"{figure.source} {figure.table}"


@cache
def _lines() -> dict[tuple[str, str], Figure]:
    return {(figure.row, figure.quantity): figure for figure in tables.figures(TABLE)}
