"""What may be said about two losses: the test whose unit is the training run, and the table of its verdicts.

    results.compare("runs")                              # every pair of settings, one row a comparison
    results.compare("runs", losses=["dpo", "ipo"], metric="mean_ratio_accuracy")

Both the runs and the held-out rows are samples. A test over rows alone takes a lucky seed for a better loss, and a
test over seeds alone takes rows that suit one loss for a better loss; simulated error rates of both are far above
5 % (tests/results/test_comparison.py). So both variances enter. Letters: A, B = settings, S = seeds, N = clusters of
rows, m = the metric.
"""

import json
import math
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from results.columns import METRIC_COLUMNS, ROW_COLUMNS, VOLATILE, names
from results.frames import rows_frame
from results.metrics import METRICS, estimate
from results.pair_table import PairArrays, checked
from results.reading import pairs, read
from results.settings import named
from results.side_columns import COMPARISON_COLUMNS
from results.statistics import Floats

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05
POWER = 0.8
CLAIM_SEEDS = 3
"""Fewest seeds of each side from which anything is said about losses instead of runs."""

_OF_A_RUN = {"seed", "cell", "status", "reason", "train_rows_digest", "control", "reward", "paper", "formula",
             "conventions", "beta", "similarity"}  # fmt: skip
_SETTING = tuple(name for name in names(ROW_COLUMNS)
                 if name not in set(names(METRIC_COLUMNS)) | VOLATILE | _OF_A_RUN)  # fmt: skip


class Difference(NamedTuple):
    """A minus B: value, its error over runs and rows, the error over rows alone, degrees of freedom, two-sided p."""

    value: float
    se: float
    se_rows: float
    degrees: int
    p: float


@dataclass(frozen=True)
class Side:
    """The runs of one setting: their cells [S], m of each seed [S], and m's pseudo-values [S, N] by cluster."""

    label: str
    loss: str
    cells: tuple[str, ...]
    rows: tuple[str, ...]
    values: Floats
    pseudo: Floats


def difference(a: Floats, b: Floats, rows_a: Floats, rows_b: Floats) -> Difference:
    """The test of A against B from m of each run, a [S_A] and b [S_B], and of each row, rows_a [S_A, N], rows_b.

    SE^2 = var(a)/S_A + var(b)/S_B + var(mean over seeds of rows_a - mean of rows_b)/N, Student's t with
    S_A + S_B - 2 degrees of freedom. Rows are the columns, the same in both; where they come in clusters, or m is no
    mean over rows, they are jackknife pseudo-values of clusters. With fewer than two seeds on a side there is no
    error over runs, hence neither se nor p.
    """
    from scipy.stats import t

    gap = rows_a.mean(axis=0) - rows_b.mean(axis=0)
    over_rows = gap.var(ddof=1) / len(gap) if len(gap) > 1 else math.nan
    value, degrees = float(a.mean() - b.mean()), len(a) + len(b) - 2
    if min(len(a), len(b)) < 2:
        return Difference(value, math.nan, math.sqrt(over_rows), degrees, math.nan)
    se = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b) + over_rows)
    p = float(2 * t.sf(abs(value) / se, degrees)) if se > 0 else float(value == 0)
    return Difference(value, se, math.sqrt(over_rows), degrees, p)


def holm(p: Floats) -> Floats:
    """p-values [K] corrected for K comparisons (Holm 1979), NaN left out and left NaN."""
    corrected = np.full(len(p), math.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def compare(
    path: Path | str, metric: str = "preference_accuracy", losses: Sequence[str] | None = None,
    against: str | None = None,
) -> "pd.DataFrame":
    """Every declared comparison of the runs at `path`, in the columns of COMPARISON_COLUMNS.

    Declared are all pairs of settings within a protocol, controls left out; `losses` limits them to these (a control
    may be named), `against` to those with this loss as B. Holm's correction is over the declared comparisons of a
    protocol that have enough seeds; below three seeds a side, nothing is claimed and no p is given. `metric` is a
    column that is measured from the test rows of a pair table.
    Raises: ValueError for an unknown metric or loss, or where nothing can be compared; FileNotFoundError without runs.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}. Metrics of the test rows: {', '.join(METRICS)}.")
    runs = _selected(read(path), losses, against)
    tables = {cell: table for cell, table in pairs(path).groupby("cell", sort=False)}
    found: list[dict[str, Any]] = []
    for protocol, rows in runs.groupby("protocol", sort=True, dropna=False):
        lines = compared(sides(rows, tables, metric), metric, against)
        found += [{"protocol": protocol, **line} for line in lines]
    if not found:
        settings = runs["loss"].nunique()
        raise ValueError(f"Nothing to compare at {str(path)!r}: the selected cells hold {settings} "
                         "loss, and no protocol has two settings measured on the same rows.")  # fmt: skip
    return rows_frame(found, COMPARISON_COLUMNS)


def compared(of: Sequence[Side], metric: str, against: str | None = None) -> list[dict[str, Any]]:
    """The declared comparisons of the settings of one protocol, each with its corrected p and its verdict."""
    lines = [_line(a, b, metric) for a, b in _declared(of, against)]
    corrected = holm(np.array([line["p"] for line in lines]))
    return [line | {"p_holm": p, "verdict": _verdict(line, float(p), metric)}
            for line, p in zip(lines, corrected, strict=True)]  # fmt: skip


def _selected(runs: "pd.DataFrame", losses: Sequence[str] | None, against: str | None) -> "pd.DataFrame":
    """The finished cells of the losses asked for."""
    done = runs[runs["status"] == "done"]
    known = sorted(done["loss"].dropna().unique())
    wanted = [*(losses or ()), *([against] if against else ())]
    strange = [name for name in wanted if name not in known]
    if strange:
        raise ValueError(f"no finished cell of {', '.join(map(repr, strange))}; there are: {', '.join(known)}.")
    if losses:
        return done[done["loss"].isin(wanted)]
    control = done["control"].fillna(False).astype(bool)
    return done[~control | (done["loss"] == against)]


def sides(runs: "pd.DataFrame", tables: Mapping[Hashable, "pd.DataFrame"], metric: str) -> list[Side]:
    """The settings of one protocol, each with all its seeds; `tables` are pair tables of test rows by cell.

    Raises: ValueError where seeds of a setting cannot be told apart, or were measured on different rows.
    """
    found = []
    present = [name for name in _SETTING if name in runs.columns]
    runs = named(runs)
    varying = [name for name in present if runs[name].nunique(dropna=False) > 1]
    for key, cells in runs.groupby(varying or ["loss"], sort=True, dropna=False):
        label = _label(dict(zip(varying or ["loss"], key, strict=True)), str(cells["loss"].iloc[0]))
        twice = cells["seed"][cells["seed"].duplicated()].tolist()
        if twice:
            raise ValueError(f"{label} has several cells of seed {twice[0]}, which the columns do not tell apart; "
                             "compare the folders of one run at a time.")  # fmt: skip
        measured = [(row, tables[row["cell"]]) for row in cells.to_dict("records") if row["cell"] in tables]
        if measured:
            found.append(_side(label, measured, metric))
    return found


def _side(label: str, measured: "list[tuple[dict[str, Any], pd.DataFrame]]", metric: str) -> Side:
    values, pseudo, rows = [], [], set()
    for row, table in measured:
        table = table.sort_values("pair_id")
        rows.add(tuple(table["pair_id"]))
        given = {name: None if isinstance(row.get(name), float) and math.isnan(row[name]) else row.get(name)
                 for name in ("reward", "beta", "noise_floor")}  # fmt: skip
        given["noise_floor"] = given["noise_floor"] or 0.0
        values.append(estimate(metric, table, **given).value)
        pseudo.append(_pseudo_values(checked(table), metric, given))
    if len(rows) > 1:
        raise ValueError(f"The seeds of {label} were measured on different test rows, so they are no sample of one "
                         "thing; compare the folders of one run at a time.")  # fmt: skip
    cells = tuple(str(row["cell"]) for row, _ in measured)
    return Side(label, str(measured[0][0]["loss"]), cells, rows.pop(), np.array(values), np.stack(pseudo))


def _pseudo_values(table: PairArrays, metric: str, given: dict[str, Any]) -> Floats:
    """N m - (N - 1) m without the cluster, [N] by cluster: for a mean over rows without clusters, the rows' values.

    The delete-one-cluster jackknife gives every metric an error, those that are no mean over rows included.
    """
    clusters = np.arange(len(table.nc)) if table.clusters is None else table.clusters
    whole, groups = estimate(metric, table, **given).value, np.unique(clusters)
    without = [estimate(metric, table.where(clusters != group), **given).value for group in groups]
    return len(groups) * whole - (len(groups) - 1) * np.array(without)


def _declared(sides: Sequence[Side], against: str | None) -> list[tuple[Side, Side]]:
    """The comparisons: all pairs, or all settings against those of one loss. Other rows are left out, and told."""
    pairs_of = (list(combinations(sides, 2)) if against is None
                else [(a, b) for b in sides if b.loss == against for a in sides if a.loss != against])  # fmt: skip
    comparable = [(a, b) for a, b in pairs_of if a.rows == b.rows]
    if len(comparable) < len(pairs_of):
        warnings.warn(f"left out {len(pairs_of) - len(comparable)} comparisons of settings that were measured on "
                      "different test rows", stacklevel=3)  # fmt: skip
    return comparable


def _line(a: Side, b: Side, metric: str) -> dict[str, Any]:
    """The numbers of one comparison; se and p only with enough seeds."""
    from scipy.stats import t

    found = difference(a.values, b.values, a.pseudo, b.pseudo)
    line = {
        "metric": metric, "a": a.label, "b": b.label, "seeds_a": len(a.values), "seeds_b": len(b.values),
        "value_a": float(a.values.mean()), "value_b": float(b.values.mean()), "difference": found.value,
        "difference_se_rows": found.se_rows, "clusters": a.pseudo.shape[1],
    }  # fmt: skip
    if min(len(a.values), len(b.values)) < CLAIM_SEEDS:
        return line | {"p": math.nan}
    reach = float(t.ppf(1 - LEVEL / 2, found.degrees))
    return line | {
        "difference_se": found.se, "low": found.value - reach * found.se, "high": found.value + reach * found.se,
        "degrees": found.degrees, "p": found.p,
        "probability": float(t.cdf(found.value / found.se, found.degrees)) if found.se > 0 else math.nan,
        "detectable": (reach + float(t.ppf(POWER, found.degrees))) * found.se,
    }  # fmt: skip


def _verdict(line: dict[str, Any], p: float, metric: str) -> str:
    """better, worse or not distinguishable; higher or lower for a metric without a good direction."""
    seeds = min(line["seeds_a"], line["seeds_b"])
    if seeds < CLAIM_SEEDS:
        return f"{seeds} seed{'s' if seeds > 1 else ''}: no claim"
    if not p < LEVEL:
        return "not distinguishable"
    direction = next(column.better for column in METRIC_COLUMNS if column.name == metric)
    above = line["difference"] > 0
    if direction == "none":
        return "higher" if above else "lower"
    return "better" if above == (direction == "up") else "worse"


def _label(setting: dict[str, Any], loss: str) -> str:
    """A setting in words: the loss, and what else tells it from the others of its protocol."""
    untold = ("loss", "hyperparameters", "trained_model_revision")
    told = {name: value for name, value in setting.items() if name not in untold}
    told = json.loads(setting.get("hyperparameters") or "{}") | told
    known = {name: value for name, value in told.items() if value is not None and value == value}
    words = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in known.items()]
    return " ".join([loss, ", ".join(words)]).strip()
