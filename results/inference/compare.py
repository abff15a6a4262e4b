"""What may be said about two losses: the test whose unit is the training run, and the table of its verdicts.

    results.compare("runs")                              # every pair of settings, one row a comparison
    results.compare("runs", losses=["dpo", "ipo"], metric="mean_ratio_accuracy")

Both the runs and the held-out rows are samples. A test over rows alone takes a lucky seed for a better loss, and a
test over seeds alone takes rows that suit one loss for a better loss; simulated error rates of both are far above
5 % (`python -m benchmarks.error_rates`). So both variances enter. Letters: A, B = settings, S = seeds, N = clusters of
rows, m = the metric.
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from results.cells.frames import by_cell, rows_frame, rows_of
from results.cells.read import comparable, pairs, read
from results.cells.searches import DEFAULT
from results.inference.settings import named
from results.inference.test import CLAIM_SEEDS, LEVEL, POWER, difference, holm
from results.metrics.measure import METRICS, estimate
from results.metrics.pair_table import PairArrays, checked
from results.metrics.statistics import Floats
from results.schema.row import METRIC_COLUMNS, ROW_COLUMNS, SINCE_LATER, VOLATILE, names
from results.schema.tables import COMPARISON_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_OF_A_RUN = {
    "seed",
    "cell",
    "status",
    "reason",
    "train_rows_digest",
    "control",
    "reward",
    "paper",
    "formula",
    "conventions",
    "beta",
    "similarity",
    "stage",
    "trial",
    "parent",
    "pool_pairs",
}
_SETTING = tuple(name for name in names(ROW_COLUMNS) if name not in set(names(METRIC_COLUMNS)) | VOLATILE | _OF_A_RUN)


@dataclass(frozen=True)
class Side:
    """The runs of one setting: their cells [S], m of each seed [S], and m's pseudo-values [S, N] by cluster."""

    label: str
    loss: str
    cells: tuple[str, ...]
    rows: tuple[str, ...]
    values: Floats
    pseudo: Floats
    role: str = ""


def compare(
    path: Path | str | Sequence[Path | str],
    metric: str = "preference_accuracy",
    losses: Sequence[str] | None = None,
    against: str | None = None,
    search: str | None = None,
) -> "pd.DataFrame":
    """Every declared comparison of the runs at `path` (or at several, together), in the columns of COMPARISON_COLUMNS.

    Declared are all pairs of settings within a protocol, baselines left out; `losses` limits them to these (a baseline
    may be named), `against` to those with this loss as B. Holm's correction is over the declared comparisons of a
    protocol that have enough seeds; below three seeds a side, there is no finding and no p. `metric` is a
    column that is measured from the test rows of a pair table. Where a protocol has a search, its confirmation alone
    is compared, that of the last search or of `search` (its id; "none": all cells): winners with each other, and each
    with its loss's default.
    Raises: ValueError for an unknown metric, loss or search, or where nothing can be compared; FileNotFoundError
    without runs.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}. Metrics of the test rows: {', '.join(METRICS)}.")
    places = [path] if isinstance(path, str | Path) else list(path)
    runs = _selected(_together([comparable(read(place), place, search) for place in places]), losses, against)
    tables = {cell: table for place in places for cell, table in by_cell(pairs(place)).items()}
    found: list[dict[str, Any]] = []
    for protocol, rows in runs.groupby("protocol", sort=True, dropna=False):
        of = sorted(sides(rows, tables, metric), key=lambda side: side.role == DEFAULT)
        lines = compared(of, metric, against, confirming=True)
        found += [{"protocol": protocol, **line} for line in lines]
    if not found:
        settings = runs["loss"].nunique()
        where = ", ".join(repr(str(place)) for place in places)
        raise ValueError(
            f"Nothing to compare at {where}: the selected cells hold {settings} "
            "loss, and no protocol has two settings measured on the same rows."
        )
    return rows_frame(found, COMPARISON_COLUMNS)


def _together(runs: "Sequence[pd.DataFrame]") -> "pd.DataFrame":
    """The rows of several folders, a cell that several hold once."""
    import pandas as pd

    return pd.concat(runs, ignore_index=True).drop_duplicates("cell") if len(runs) > 1 else runs[0]


def compared(
    of: Sequence[Side], metric: str, against: str | None = None, *, confirming: bool = False
) -> list[dict[str, Any]]:
    """The declared comparisons of the settings of one protocol, each with its corrected p and its verdict.

    confirming: a default is compared with its own loss's winner alone.
    """
    declared = [
        (a, b)
        for a, b in _declared(of, against)
        if not (confirming and DEFAULT in (a.role, b.role)) or a.loss == b.loss
    ]
    lines = [_line(a, b, metric) for a, b in declared]
    corrected = holm(np.array([line["p"] for line in lines]))
    tested = int(np.sum(~np.isnan(corrected)))
    return [
        line | {"p_holm": p, "detectable": _detectable(line, tested), "verdict": _verdict(line, float(p), metric)}
        for line, p in zip(lines, corrected, strict=True)
    ]


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


def sides(runs: "pd.DataFrame", tables: Mapping[str, "pd.DataFrame"], metric: str) -> list[Side]:
    """The settings of one protocol, each with all its seeds; `tables` are pair tables of test rows by cell.

    Raises: ValueError where seeds of a setting cannot be distinguished, or were measured on different rows.
    """
    found = []
    present = [name for name in _SETTING if name in runs.columns]
    runs = named(runs)
    varying = [name for name in present if runs[name].nunique(dropna=name in SINCE_LATER) > 1]
    tuned = _tuned(runs)
    for key, cells in runs.groupby(varying or ["loss"], sort=True, dropna=False):
        label = _label(dict(zip(varying or ["loss"], key, strict=True)), str(cells["loss"].iloc[0]), tuned)
        twice = cells["seed"][cells["seed"].duplicated()].tolist()
        if twice:
            raise ValueError(
                f"{label} has several cells of seed {twice[0]}, which the columns do not distinguish; "
                "compare the folders of one run at a time."
            )
        measured = [(row, tables[row["cell"]]) for row in rows_of(cells) if row["cell"] in tables]
        if measured:
            found.append(_side(label, measured, metric))
    return found


def _side(label: str, measured: "list[tuple[dict[str, Any], pd.DataFrame]]", metric: str) -> Side:
    values, pseudo, rows = [], [], set()
    for row, table in measured:
        table = table.sort_values("pair_id")
        rows.add(tuple(table["pair_id"]))
        given: dict[str, Any] = {
            name: None if isinstance(row.get(name), float) and math.isnan(row[name]) else row.get(name)
            for name in ("reward", "beta", "noise_floor")
        }
        given["noise_floor"] = given["noise_floor"] or 0.0
        values.append(estimate(metric, table, **given).value)
        pseudo.append(_pseudo_values(checked(table), metric, given))
    if len(rows) > 1:
        raise ValueError(
            f"The seeds of {label} were measured on different test rows, so they are no sample of one "
            "thing; compare the folders of one run at a time."
        )
    cells = tuple(str(row["cell"]) for row, _ in measured)
    role = measured[0][0].get("role")
    return Side(
        label,
        str(measured[0][0]["loss"]),
        cells,
        rows.pop(),
        np.array(values),
        np.stack(pseudo),
        role if isinstance(role, str) else "",
    )


def _pseudo_values(table: PairArrays, metric: str, given: dict[str, Any]) -> Floats:
    """N m - (N - 1) m without the cluster, [N] by cluster: for a mean over rows without clusters, the rows' values.

    The delete-one-cluster jackknife gives every metric an error, those that are no mean over rows included.
    """
    clusters = np.arange(len(table.nc)) if table.clusters is None else table.clusters
    whole, groups = estimate(metric, table, **given).value, np.unique(clusters)
    without = [estimate(metric, table.where(clusters != group), **given).value for group in groups]
    return len(groups) * whole - (len(groups) - 1) * np.array(without)


def _declared(sides: Sequence[Side], against: str | None) -> list[tuple[Side, Side]]:
    """The comparisons: all pairs, or all settings against those of one loss. Other rows warn and are left out."""
    pairs_of = (
        list(combinations(sides, 2))
        if against is None
        else [(a, b) for b in sides if b.loss == against for a in sides if a.loss != against]
    )
    comparable = [(a, b) for a, b in pairs_of if a.rows == b.rows]
    if len(comparable) < len(pairs_of):
        warnings.warn(
            f"left out {len(pairs_of) - len(comparable)} comparisons of settings that were measured on "
            "different test rows",
            stacklevel=3,
        )
    return comparable


def _line(a: Side, b: Side, metric: str) -> dict[str, Any]:
    """The numbers of one comparison; se and p only with enough seeds."""
    from scipy.stats import t

    found = difference(a.values, b.values, a.pseudo, b.pseudo)
    line = {
        "metric": metric,
        "a": a.label,
        "b": b.label,
        "seeds_a": len(a.values),
        "seeds_b": len(b.values),
        "value_a": float(a.values.mean()),
        "value_b": float(b.values.mean()),
        "difference": found.value,
        "difference_se_rows": found.se_rows,
        "clusters": a.pseudo.shape[1],
    }
    if min(len(a.values), len(b.values)) < CLAIM_SEEDS:
        return line | {"p": math.nan}
    reach = float(t.ppf(1 - LEVEL / 2, found.degrees))
    return line | {
        "difference_se": found.se,
        "low": found.value - reach * found.se,
        "high": found.value + reach * found.se,
        "degrees": found.degrees,
        "p": found.p,
        "probability": float(t.cdf(found.value / found.se, found.degrees)) if found.se > 0 else math.nan,
    }


def _detectable(line: dict[str, Any], tested: int) -> float:
    """The difference that these runs and rows find as one of so many comparisons: by Holm's first step, which asks for
    p below LEVEL / tested. Later steps ask for less, so this is on the safe side."""
    from scipy.stats import t

    if math.isnan(line["p"]):
        return math.nan
    reach = float(np.sum(t.ppf([1 - LEVEL / 2 / tested, POWER], line["degrees"])))
    return float(reach * line["difference_se"])


def _verdict(line: dict[str, Any], p: float, metric: str) -> str:
    """better, worse or not distinguishable; higher or lower for a metric without a good direction."""
    seeds = min(line["seeds_a"], line["seeds_b"])
    if seeds < CLAIM_SEEDS:
        return f"{seeds} seed{'s' if seeds > 1 else ''}: no claim"
    if math.isnan(p):
        return f"{'not measured' if math.isnan(line['difference']) else 'no error over rows'}: no claim"
    if not p < LEVEL:
        return "not distinguishable"
    direction = next(column.better for column in METRIC_COLUMNS if column.name == metric)
    above = line["difference"] > 0
    if direction == "none":
        return "higher" if above else "lower"
    return "better" if above == (direction == "up") else "worse"


def _tuned(runs: "pd.DataFrame") -> set[tuple[str, str]]:
    """Each loss's hyper-parameters that have several values among its runs: the others distinguish no two settings."""
    seen: dict[tuple[str, str], set[Any]] = {}
    for loss, text in zip(runs["loss"], runs["hyperparameters"], strict=True):
        for name, value in (json.loads(text) if isinstance(text, str) else {}).items():
            seen.setdefault((loss, name), set()).add(value)
    return {key for key, values in seen.items() if len(values) > 1}


def _label(setting: dict[str, Any], loss: str, tuned: set[tuple[str, str]]) -> str:
    """The name of a setting: the loss, and what else distinguishes it from the others of its protocol."""
    import pandas as pd

    unnamed = ("loss", "hyperparameters", "trained_model_revision", "role")
    own = {name: value for name, value in setting.items() if name not in unnamed}
    given = json.loads(setting.get("hyperparameters") or "{}")
    own = {name: value for name, value in given.items() if (loss, name) in tuned} | own
    known = {name: value for name, value in own.items() if not pd.isna(value)}
    parts = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in known.items()]
    return " ".join(filter(None, [loss, setting.get("role"), ", ".join(parts)]))
