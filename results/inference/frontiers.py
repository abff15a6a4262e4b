"""What each loss reaches at what price: the cells that no other cell of the loss beats, and the gain at equal price.

    results.frontiers.frontier(runs)                    # reward gained against KL: one row a cell that is not beaten
    results.frontiers.matched(runs)                     # the gain of each loss at the same KL, by interpolation
    results.frontiers.matched(runs, y="win_rate", at=[1.0, 4.0])

A loss that gained more reward may only have gone further from its reference (arXiv:2210.10760), so losses are compared
where they went equally far. The frontier is the best of several noisy cells and therefore optimistic, the more so the
more settings a loss was given: compare losses with equal numbers of settings.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from results.inference.settings import means
from results.schema.row import KNOBS

if TYPE_CHECKING:
    import pandas as pd

START: Mapping[str, float] = {"gold_reward_gain": 0.0, "win_rate": 0.5, "win_rate_length_controlled": 0.5}
"""What the reference itself has at KL 0, by column: every frontier begins there."""

_APART = 1.1
"""Values of x closer than this ratio count as equal."""

_GROUP = ["protocol", "loss", *KNOBS]


def points(runs: "pd.DataFrame", x: str = "kl", y: str = "gold_reward_gain") -> "pd.DataFrame":
    """The settings that have both columns, means over their seeds, baselines left out; `on_frontier` says whether no
    setting of the same protocol, loss and data perturbations has more y at no more x.

    Raises: ValueError for a column that the runs lack.
    """
    missing = [name for name in (x, y, f"{y}_se") if name not in runs.columns]
    if missing:
        raise ValueError(f"The runs lack {', '.join(missing)}; use results.read.")
    found = means(runs, [x, y])
    control = found["control"].fillna(False).astype(bool)
    found = found[found[x].notna() & found[y].notna() & ~control].reset_index(drop=True)
    best = np.zeros(len(found), dtype=bool)
    for _, same in _groups(found):
        height = START.get(y, -math.inf)
        for place in same.sort_values([x, y], ascending=[True, False], kind="stable").index:
            if same.loc[place, y] > height:
                best[place], height = True, same.loc[place, y]
    return found.assign(on_frontier=best)


def frontier(runs: "pd.DataFrame", x: str = "kl", y: str = "gold_reward_gain") -> "pd.DataFrame":
    """The settings on the frontier of their loss, by loss and growing x: columns of `results.settings.means`."""
    found = points(runs, x, y)
    return found[found["on_frontier"]].sort_values([*_GROUP, x], kind="stable").reset_index(drop=True)


def matched(
    runs: "pd.DataFrame", x: str = "kl", y: str = "gold_reward_gain", at: Sequence[float] | None = None
) -> "pd.DataFrame":
    """y of each loss at equal x: one row a protocol, loss, equal data perturbations and value of x.

    Columns: protocol, loss, the data perturbations, settings (how many the frontier was chosen from), at (the x), value
    and se. Between two settings of the frontier, and from the reference at x = 0 where START knows it, y is
    interpolated linearly, with the error of that mean; past the frontier's last setting it stays, up to the largest x
    that the loss has reached; beyond that it is missing. `at` None takes a quarter, a half and all of the largest x
    that every loss reached, and the largest that two losses reached.
    Raises: ValueError for a column that the runs lack.
    """
    import pandas as pd

    found = points(runs, x, y)
    lines = [
        line
        for _, same in found.groupby(["protocol", *KNOBS], sort=False, dropna=False)
        for line in _lines(same, x, y, at)
    ]
    return pd.DataFrame(lines, columns=[*_GROUP, "settings", "at", "value", "se"])


def _groups(found: "pd.DataFrame") -> Iterator[tuple[Any, "pd.DataFrame"]]:
    yield from found.groupby(_GROUP, sort=False, dropna=False)


def _lines(found: "pd.DataFrame", x: str, y: str, at: Sequence[float] | None) -> Iterator[dict[str, Any]]:
    """The rows of losses that may be compared."""
    prices = _shared_prices(found.groupby("loss")[x].max()) if at is None else list(at)
    for key, same in _groups(found):
        best = same[same["on_frontier"]].sort_values(x)
        begin = [(0.0, START[y], 0.0)] if y in START else []
        known = np.array([*begin, *best[[x, y, f"{y}_se"]].to_numpy(dtype=float)]).reshape(-1, 3)
        for price in prices:
            value, error = _between(known, price) if price <= same[x].max() else (math.nan, math.nan)
            yield dict(zip(_GROUP, key, strict=True)) | {
                "settings": len(same),
                "at": price,
                "value": value,
                "se": error,
            }


def _shared_prices(reached: "pd.Series") -> list[float]:
    """A quarter, a half and all of the x that every loss reached, and the largest x that at least two reached."""
    values = sorted(value for value in reached if value > 0)
    if len(values) < 2:
        return values
    further = values[-2:-1] if values[-2] > _APART * values[0] else []
    return [values[0] / 4, values[0] / 2, values[0], *further]


def _between(known: "np.ndarray[Any, Any]", price: float) -> tuple[float, float]:
    """Value and error at a price, on the line through known points [K, 3] of x, y and y's error; NaN before the first.

    The points' errors count as independent; those of cells on the same prompts are positively correlated, so the
    mean's error is a little understated between two points.
    """
    if not len(known) or price < known[0, 0]:
        return math.nan, math.nan
    after = int(np.searchsorted(known[:, 0], price))
    if after == len(known):
        return float(known[-1, 1]), float(known[-1, 2])
    before = max(after - 1, 0)
    width = known[after, 0] - known[before, 0]
    share = float((price - known[before, 0]) / width) if width > 0 else 1.0
    value = known[before, 1] * (1 - share) + known[after, 1] * share
    return float(value), float(math.hypot(known[before, 2] * (1 - share), known[after, 2] * share))
