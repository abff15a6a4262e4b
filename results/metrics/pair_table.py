"""The pair table as the metrics see it: checked once, then plain arrays.

Here live the door (what a table must hold to be measured), the rewards, and the decorator that makes a
metric. Letters: c, r = policy log-prob of the chosen and the rejected completion (nats, summed over scored
tokens), c0, r0 = the reference's, nc, nr = scored tokens, a = c - c0, d = r - r0, h = a - d.
"""

import difflib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from results.metrics.statistics import Clusters, Estimate, Floats, cluster_codes

if TYPE_CHECKING:
    import pandas as pd

Mask = NDArray[np.bool_]

CHOSEN = ("policy_chosen_logp", "reference_chosen_logp", "chosen_tokens")
REJECTED = ("policy_rejected_logp", "reference_rejected_logp", "rejected_tokens")
FIRST_TOKENS = 10
OPTIONAL = {
    "c_first": "policy_chosen_logp_first",
    "c0_first": "reference_chosen_logp_first",
    "r_first": "policy_rejected_logp_first",
    "r0_first": "reference_rejected_logp_first",
    "similarity": "edit_similarity",
    "ches": "ches_normalized",
}
"""Fields of PairArrays that a table may lack, and their columns."""


@dataclass(frozen=True)
class PairArrays:
    """A checked pair table: log-probs [N] in nats, counts [N]; NaN on a side that a row does not have.

    `*_first` are the log-probs of the first FIRST_TOKENS scored tokens alone, `similarity` and `ches` are the
    pair's edit_similarity and ches_normalized; NaN throughout where the table does not have them.
    """

    c: Floats
    c0: Floats
    nc: Floats
    r: Floats
    r0: Floats
    nr: Floats
    c_first: Floats
    c0_first: Floats
    r_first: Floats
    r0_first: Floats
    similarity: Floats
    ches: Floats
    clusters: Clusters | None

    @property
    def a(self) -> Floats:
        """[N] nats: how much likelier the chosen completion became."""
        return self.c - self.c0

    @property
    def d(self) -> Floats:
        """[N] nats: how much likelier the rejected completion became."""
        return self.r - self.r0

    @property
    def h(self) -> Floats:
        """[N] nats: the margin."""
        return self.a - self.d

    def where(self, mask: Mask) -> "PairArrays":
        """The rows that the mask [N] keeps."""
        sides = {name: getattr(self, name)[mask] for name in ("c", "c0", "nc", "r", "r0", "nr", *OPTIONAL)}
        return PairArrays(**sides, clusters=None if self.clusters is None else self.clusters[mask])

    def paired(self) -> "PairArrays":
        """The rows that have both completions."""
        return self.where(~np.isnan(self.nc) & ~np.isnan(self.nr))

    def with_chosen(self) -> "PairArrays":
        """The rows that have a chosen (desirable) completion."""
        return self.where(~np.isnan(self.nc))

    def with_rejected(self) -> "PairArrays":
        """The rows that have a rejected (undesirable) completion."""
        return self.where(~np.isnan(self.nr))

    def at_start(self) -> "PairArrays":
        """The same rows with the reference in the policy's place."""
        return replace(self, c=self.c0, r=self.r0, c_first=self.c0_first, r_first=self.r0_first)


class Sides(NamedTuple):
    """One number [N] for each chosen and each rejected completion."""

    chosen: Floats
    rejected: Floats


def _log_odds(mean_logp: Floats) -> Floats:
    """log(p / (1 - p)) of the mean token probability p; +inf at p = 1. arXiv:2403.07691, eq. 4."""
    if np.any(mean_logp > 0):
        raise ValueError(
            f"log_odds needs log-probs up to 0, but a mean of {mean_logp.max():.6g} nats was "
            "found; the table's logp columns must hold log-probs, not losses."
        )
    near_zero = mean_logp > -np.log(2.0)
    with np.errstate(divide="ignore"):
        near = np.log(-np.expm1(np.where(near_zero, mean_logp, -1.0)))
        far = np.log1p(-np.exp(np.where(near_zero, -1.0, mean_logp)))
    return mean_logp - np.where(near_zero, near, far)


REWARDS: dict[str, Callable[[PairArrays], Sides]] = {
    "log_ratio": lambda t: Sides(t.a, t.d),
    "mean_log_ratio": lambda t: Sides(t.a / t.nc, t.d / t.nr),
    "log_prob": lambda t: Sides(t.c, t.r),
    "mean_log_prob": lambda t: Sides(t.c / t.nc, t.r / t.nr),
    "log_odds": lambda t: Sides(_log_odds(t.c / t.nc), _log_odds(t.r / t.nr)),
}
"""What a loss may declare as its own reward, on rows with both completions."""


def rewards(table: PairArrays, reward: str) -> Sides:
    """The two completions of each row under a reward. Raises: ValueError for an unknown one."""
    if reward not in REWARDS:
        near = difflib.get_close_matches(str(reward), REWARDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"unknown reward {reward!r}{hint} Known: {', '.join(REWARDS)}.")
    return REWARDS[reward](table)


def wins(sides: Sides) -> Floats:
    """[N]: 1 where the chosen completion is above the rejected one, 0.5 at an exact tie, else 0."""
    won: Floats = (sides.chosen > sides.rejected) + 0.5 * (sides.chosen == sides.rejected)
    return won


METRICS: dict[str, Callable[..., Estimate]] = {}
"""Estimators by column name, in the order of definition."""


def metric(estimator: Callable[..., Estimate]) -> Callable[..., float]:
    """Turns an estimator over checked arrays into a function from a pair table to a number.

    The estimator, which also gives the standard error, is kept in METRICS under the column's name.
    """
    METRICS[estimator.__name__] = estimator

    @functools.wraps(estimator)
    def value(pairs: "pd.DataFrame", *settings: object, **named: object) -> float:
        return estimator(checked(pairs), *settings, **named).value

    value.__signature__ = inspect.signature(estimator).replace(return_annotation=float)  # type: ignore[attr-defined]
    return value


def checked(pairs: "pd.DataFrame | PairArrays") -> PairArrays:
    """The door: a pair table as arrays.

    Raises: ValueError for missing columns, several cells, splits or steps in one table, values that are not
    finite, half-missing sides, and counts below 1.
    """
    if isinstance(pairs, PairArrays):
        return pairs
    missing = [name for name in CHOSEN + REJECTED if name not in pairs.columns]
    if missing:
        found = ", ".join(map(str, pairs.columns)) or "no columns"
        raise ValueError(f"The pair table lacks {', '.join(missing)}; found: {found}.")
    _check_one_measurement(pairs)
    c, c0, nc = _side(pairs, CHOSEN)
    r, r0, nr = _side(pairs, REJECTED)
    given = {field: _optional(pairs, name) for field, name in OPTIONAL.items()}
    return PairArrays(c=c, c0=c0, nc=nc, r=r, r0=r0, nr=nr, **given, clusters=_clusters(pairs))


def _check_one_measurement(pairs: "pd.DataFrame") -> None:
    """Refuses a table that mixes cells, splits or steps: their rows are not one sample."""
    for name in ("cell", "split", "step"):
        if name not in pairs.columns:
            continue
        seen = pairs[name].astype(object).fillna("test").unique() if name == "split" else pairs[name].unique()
        if len(seen) > 1:
            shown = ", ".join(sorted(map(str, seen))[:5])
            raise ValueError(
                f"The pair table mixes {len(seen)} values of {name} ({shown}); "
                f"measure one at a time, for example with pairs.groupby({name!r})."
            )


def _side(pairs: "pd.DataFrame", names: tuple[str, str, str]) -> tuple[Floats, Floats, Floats]:
    """Policy log-prob, reference log-prob and count [N] of one side, each row complete or absent."""
    values = [_numbers(pairs, name) for name in names]
    absent = np.isnan(values).sum(axis=0)
    partial: Mask = (absent > 0) & (absent < len(names))
    if partial.any():
        raise ValueError(
            f"{int(partial.sum())} rows have some of {', '.join(names)} and lack others, first "
            f"{_row_name(pairs, partial)}; a completion is either complete or missing."
        )
    for name, column in zip(names, values, strict=True):
        is_count = name.endswith("_tokens")
        bad = np.isinf(column) | (is_count & (column < 1))
        if bad.any():
            allowed = "counts of at least 1" if is_count else "finite log-probs in nats"
            where = _row_name(pairs, bad)
            raise ValueError(f"{name} is {column[bad][0]:g} in {where}; allowed are {allowed}.")
    return values[0], values[1], values[2]


def _optional(pairs: "pd.DataFrame", name: str) -> Floats:
    """A column [N] that the table may lack, then NaN."""
    return _numbers(pairs, name) if name in pairs.columns else np.full(len(pairs), np.nan)


def _numbers(pairs: "pd.DataFrame", name: str) -> Floats:
    """A column as float64 [N], missing values as NaN."""
    import pandas as pd

    try:
        return pd.to_numeric(pairs[name]).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}.") from error


def _row_name(pairs: "pd.DataFrame", mask: Mask) -> str:
    """How to find the first row of the mask: its pair_id, else its position."""
    position = int(np.flatnonzero(mask)[0])
    if "pair_id" in pairs.columns:
        return f"pair {pairs['pair_id'].iloc[position]!r}"
    return f"row {position}"


def _clusters(pairs: "pd.DataFrame") -> Clusters | None:
    """Integer codes [N] of the clusters, None where the table has no such column."""
    if "cluster_id" not in pairs.columns:
        return None
    absent = pairs["cluster_id"].isna().to_numpy()
    if absent.any():
        raise ValueError(f"cluster_id is missing in {_row_name(pairs, absent)}; every row needs one.")
    return cluster_codes(pairs["cluster_id"])
