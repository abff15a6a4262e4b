"""What a reproduction hands back: a paper's figure beside ours, what difference is allowed, and the verdict.

A check is made by `number` (equal within a tolerance), `bound` (a finding that holds between limits), `phenomenon` (a
sign or a size, measured over training runs), `order` and `order_by_seed` (two rankings), or `reported` (no finding).

What was measured over runs is contradicted, and the command fails, only where the finding follows from the loss itself
(the trained margin grows; ipo's stops at its target) and the whole interval lies outside its limits. What papers saw
in larger models is "not reproduced at this scale" where our interval does not show it, even where it shows the reverse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.progress import Progress

MATCH, ERRATUM, MISMATCH = "match", "erratum", "MISMATCH"
SEEN, NOT_SEEN = "reproduced", "not reproduced at this scale"
REPORTED = "reported"


@dataclass(frozen=True)
class Check:
    """One line of a reproduction. `published` and `allowed` are text as shown; `ours` is what was computed now.

    verdict: match, erratum (the paper's figure contradicts its own data, ours is the corrected one), MISMATCH;
    reproduced or not reproduced at this scale for what was measured on a smaller model; reported where no
    verdict is due.
    """

    row: str
    quantity: str
    published: str
    ours: float
    allowed: str
    verdict: str
    note: str = ""
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Request:
    """What the command line asked of a recipe; every recipe uses what it needs.

    rows: names of rows to show (of losses to train), none for all. path: a file or folder of the user's.
    model, seeds: for recipes that train; None for the recipe's own. out: where trained cells are kept.
    """

    progress: Progress
    rows: tuple[str, ...] = ()
    path: Path | None = None
    out: Path = Path("runs/reproduce")
    model: str | None = None
    seeds: tuple[int, ...] | None = None


class Interval(NamedTuple):
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float


def number(
    row: str,
    quantity: str,
    published: float,
    ours: float,
    tolerance: float,
    note: str = "",
    corrected: float | None = None,
) -> Check:
    """A figure that ours must equal within `tolerance`.

    corrected: what the paper's own data give where its figure is wrong; then ours must equal that and differ from
    the published figure, so an erratum that is none is a mismatch too.
    """
    wanted = published if corrected is None else corrected
    close = _is_close(ours, wanted, tolerance)
    if corrected is None:
        verdict = MATCH if close else MISMATCH
    else:
        verdict = ERRATUM if close and not _is_close(ours, published, tolerance) else MISMATCH
    return Check(row, quantity, f"{published:g}", ours, f"± {tolerance:g}", verdict, note)


def bound(
    row: str,
    quantity: str,
    published: str,
    ours: float,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    note: str = "",
    erratum: bool = False,
) -> Check:
    """A finding about one number: low <= ours <= high. erratum: these limits contradict what the paper says."""
    holds = low <= ours <= high
    verdict = (ERRATUM if erratum else MATCH) if holds else MISMATCH
    return Check(row, quantity, published, ours, limits(low, high), verdict, note)


def phenomenon(
    row: str,
    quantity: str,
    published: str,
    values: Sequence[float],
    *,
    low: float = -math.inf,
    high: float = math.inf,
    note: str = "",
    follows: bool = False,
) -> Check:
    """A finding measured over training runs: it is reproduced where the whole 95 % interval lies between low and high.

    Neither belongs to it: two losses that never differ show no order. values: one a seed. With fewer than two there
    is no interval, hence no verdict. follows: the finding follows from the loss itself, so an interval wholly outside
    the limits is a mismatch.
    """
    seen = interval(values)
    if math.isnan(seen.low):
        verdict, note = REPORTED, f"{'no interval' if len(values) > 1 else 'one seed'}: no verdict. {note}".strip()
    elif low < seen.low and seen.high < high:
        verdict = SEEN
    else:
        verdict = MISMATCH if follows and (seen.high < low or high < seen.low) else NOT_SEEN
    allowed = limits(low, high).replace("=", "")
    return Check(row, quantity, published, seen.value, allowed, verdict, note, seen.low, seen.high)


def reported(row: str, quantity: str, values: Sequence[float], note: str = "", published: str = "-") -> Check:
    """What was measured over training runs, one value a seed, without a finding about it."""
    seen = interval(values)
    return Check(row, quantity, published, seen.value, "-", REPORTED, note, seen.low, seen.high)


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval of Student over seeds; the interval is NaN below two values or where one is NaN."""
    from scipy import stats

    n = len(values)
    centre = math.fsum(values) / n if n else math.nan
    if n < 2 or math.isnan(centre):
        return Interval(centre, math.nan, math.nan)
    spread = math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (n - 1) / n)
    half = float(stats.t.ppf(0.975, n - 1)) * spread
    return Interval(centre, centre - half, centre + half)


def order(row: str, quantity: str, published: Sequence[float], ours: Sequence[float], note: str = "") -> Check:
    """Kendall's tau-b between two rankings of the same things, with a 95 % interval by Fisher's z.

    For protocols that cannot be the paper's (another judge, a smaller model): the order is the finding, never a figure.
    Standard error of z: sqrt(0.437 / (n - 4)) (Fieller, Hartley and Pearson 1957, Biometrika 44); from 5 things on.
    """
    from scipy import stats

    tau = float(stats.kendalltau(published, ours).statistic)
    low = high = math.nan
    if len(ours) > 4 and not math.isnan(tau):
        middle, half = math.atanh(max(min(tau, 0.999), -0.999)), 1.96 * math.sqrt(0.437 / (len(ours) - 4))
        low, high = math.tanh(middle - half), math.tanh(middle + half)
    verdict = REPORTED if math.isnan(low) else SEEN if low > 0 else NOT_SEEN
    return Check(row, quantity, "their order", tau, "> 0", verdict, note, low, high)


def order_by_seed(
    row: str, quantity: str, published: Sequence[float], ours: Sequence[Sequence[float]], note: str = ""
) -> Check:
    """Kendall's tau-b between a published ranking and ours, one ranking a seed; its interval is over seeds.

    A tau that is the same for every seed has an interval of width 0.
    """
    from scipy import stats

    taus = [float(stats.kendalltau(published, ranking).statistic) for ranking in ours]
    return phenomenon(row, quantity, "their order", taus, low=0.0, note=note)


def limits(low: float, high: float) -> str:
    """The limits in words: `>= 0.3`, `<= 1`, `0.2 to 0.4`."""
    if math.isinf(high):
        return f">= {low:g}"
    return f"<= {high:g}" if math.isinf(low) else f"{low:g} to {high:g}"


def _is_close(ours: float, wanted: float, tolerance: float) -> bool:
    """Within the tolerance, which a printed digit may touch."""
    return abs(ours - wanted) <= tolerance * (1 + 1e-9)
