"""The table that comes first: one row a setting, averaged over seeds, and all that may be the best of a column.

Where a search was confirmed, its winners and defaults on fresh seeds stand here, and nothing that was selected on.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas

from reports.content.evidence import Evidence
from reports.content.fields import HEADLINE
from reports.content.tables import Protocol
from reports.text import numbers
from reports.text.numbers import Field
from results.cells.searches import CLAIM
from results.inference import settings
from results.inference.standing import Place, Standing, standing
from results.metrics.statistics import Estimate, interval

TESTED = ("preference_accuracy", "mean_ratio_accuracy")
"""The columns that are tested over seeds and rows."""

MOST_TESTED = 24
"""Most settings that are tested against each other in a report."""

Standings = Mapping[str, Mapping[str, Standing]]
"""Named data perturbations -> tested column -> who stands where."""


def has_confirmation(protocol: Protocol) -> bool:
    """Whether a search has trained winners and defaults on fresh seeds."""
    return "stage" in protocol.done.columns and bool((protocol.contenders["stage"] == CLAIM).any())


def ranked(protocol: Protocol) -> pandas.DataFrame:
    """The finished cells that verdicts rest on: of a confirmation alone where there is one, else all contenders."""
    rows = protocol.contenders
    return rows[rows["stage"] == CLAIM] if has_confirmation(protocol) else rows


def standings(protocol: Protocol, evidence: Evidence) -> Standings:
    """The standing on every tested column within equal data perturbations; none for groups of more settings than are
    tested, or where no setting has enough seeds or pair tables.

    Cells that cannot be tested (seeds that the columns do not tell apart, or that were measured on different rows) have
    none either.
    """
    found: dict[str, Mapping[str, Standing]] = {}
    for perturbations, rows in ranked(protocol).groupby("perturbations", sort=False):
        if len(set(settings.keys(rows))) > MOST_TESTED:
            continue
        plain = rows.drop(
            columns=["perturbations"] if has_confirmation(protocol) else ["perturbations", "role"], errors="ignore"
        )
        try:
            placed = {name: standing(plain, evidence.tables, name) for name in TESTED}
        except ValueError:
            continue
        if placed[TESTED[0]].places:
            found[str(perturbations)] = placed
    return found


def table(protocol: Protocol, found: Standings, measures: Sequence[Field] = HEADLINE) -> pandas.DataFrame:
    """One row a setting, baselines included, in the order of the protocol: the first of its cells with means of the
    measures over seeds in place of its own, `seeds`, and `best`: the names of the columns that it may be the best in.

    Errors of tested columns are over seeds and rows, others the mean of the cells' errors over rows.
    """
    done = protocol.done
    rows = done[done["control"] | done["cell"].isin(ranked(protocol)["cell"])]
    if rows.empty:
        return rows
    names = [field.column for field in measures if field.column in rows.columns]
    tested = TESTED[0] in names
    extra = [name for name in ("longer_wins_baseline",) if name in rows.columns]
    means = settings.means(rows, [*names, *extra])
    keys = settings.keys(rows)
    places = list(dict(reversed([(key, place) for place, key in enumerate(keys)])).values())[::-1]
    shown = rows.iloc[places].reset_index(drop=True)
    columns = [name for name in means.columns if name in ("seeds", *names, *extra) or name.endswith("_se")]
    marked = _marked(shown.assign(**{name: means[name] for name in columns}), found)
    return marked.assign(interval=_intervals(marked, found)) if tested else marked


def _intervals(shown: pandas.DataFrame, found: Standings) -> list[Any]:
    """The 95 % interval of preference accuracy as text, or None: over seeds and rows where tested, else over rows."""
    ends = {
        cell: (place.low, place.high)
        for one_group in found.values()
        for place in (*one_group[TESTED[0]].places, *one_group[TESTED[0]].defaults)
        for cell in place.cells
    }
    intervals: list[Any] = []
    for row in numbers.records(shown, "cell", "loss", TESTED[0], f"{TESTED[0]}_se", "n_clusters"):
        value, error, clusters = row[TESTED[0]], row[f"{TESTED[0]}_se"], row.get("n_clusters", math.nan)
        degrees = math.inf if numbers.is_missing(clusters) else clusters - 1
        measured = row["loss"] != "none" and not numbers.is_missing(error)
        own = interval(Estimate(value, error), degrees) if measured else None
        low, high = ends.get(row["cell"]) or own or (math.nan, math.nan)
        intervals.append(None if numbers.is_missing(low) else within(low, high))
    return intervals


def within(low: float, high: float) -> str:
    """An interval of an accuracy as text, cut at 0 and 1."""
    return " to ".join(numbers.number(min(max(end, 0.0), 1.0), "share") for end in (low, high))


def _marked(shown: pandas.DataFrame, found: Standings) -> pandas.DataFrame:
    """The table with the errors of tested columns and the set of columns that a row may be the best in."""
    placed: dict[tuple[str, str], Place] = {
        (column, cell): place
        for one_group in found.values()
        for column, one in one_group.items()
        for place in (*one.places, *one.defaults)
        for cell in place.cells
    }
    best = []
    for column in (name for name in TESTED if f"{name}_se" in shown.columns):
        mine = [placed.get((column, cell)) for cell in shown["cell"]]
        tested = pandas.Series([math.nan if place is None else place.se for place in mine], dtype="float64")
        shown[f"{column}_se"] = shown[f"{column}_se"].where(tested.isna(), tested)
        best.append([column if place is not None and place.tied else "" for place in mine])
    together = zip(*best, strict=True) if best else [()] * len(shown)
    named: list[Any] = [frozenset(filter(None, names)) for names in together]
    return shown.assign(best=named)
