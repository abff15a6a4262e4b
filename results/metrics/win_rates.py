"""Win-rates: what a verdict table says about a policy, and how much of it is length.

A verdict table holds one judged pair of completions a row, in the columns of VERDICT_COLUMNS. `preference` is P(the
policy's completion preferred): 1 win, 0 loss, 0.5 tie, NaN invalid. Only that column is needed: without cluster_id
there is no standard error, without prompt_id every row is its own prompt, without lengths nothing is said about length.

Invalid verdicts are left out and counted. A prompt with several samples counts once, with the means of its valid
verdicts and of their length differences. Letters: y = preference, x = tanh(length difference / its standard
deviation).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from results.metrics import statistics
from results.metrics.statistics import Clusters, Estimate, Floats

if TYPE_CHECKING:
    import pandas as pd

RIDGE = 1e-3
"""Weight of the squared coefficients in the logistic fit: nothing beside a few dozen verdicts, and finite where the
verdicts are separated (a judge that always takes the longer completion)."""

_NEWTON_STEPS = 100


class WinRate(NamedTuple):
    """A win-rate with its error (clustered on the first human turn), 95 % interval, and what it is made of.

    `prompts` have a valid verdict; `ties` and `invalid` count verdicts.
    """

    value: float
    se: float
    low: float
    high: float
    prompts: int
    clusters: int
    ties: int
    invalid: int


class LengthControlled(NamedTuple):
    """A win-rate at equal length with its error, and the coefficient of x in logits (above 0: longer wins)."""

    value: float
    se: float
    length_coefficient: float


@dataclass(frozen=True)
class _Prompts:
    """One entry [N] a prompt with valid verdicts; lengths are NaN where the table has none."""

    ids: np.ndarray
    y: Floats
    difference: Floats
    clusters: Clusters | None


def win_rate(verdicts: "pd.DataFrame", ties: float = 0.5) -> WinRate:
    """Mean over prompts of P(the policy's completion preferred).

    Conventions: ties count one half, as AlpacaEval counts them; `ties=0.0` gives the win-rate of papers that divide
    wins by all comparisons (arXiv:2402.01306). The interval is Student's with clusters - 1 degrees of freedom, cut at
    0 and 1; with singleton clusters the error is AlpacaEval's standard error of the mean.
    Raises: ValueError for a table that mixes judges, baselines or cells, or preferences outside 0 to 1.
    """
    if not 0 <= ties <= 1:
        raise ValueError(f"ties is {ties!r}; allowed is a share from 0 to 1: what a tie counts as a win.")
    given = _preferences(verdicts)
    table = _prompts(verdicts, np.where(given == 0.5, ties, given))
    found = statistics.mean(table.y, table.clusters)
    groups = 0 if table.clusters is None else len(np.unique(table.clusters))
    low, high = statistics.interval(found, groups - 1)
    return WinRate(
        found.value,
        found.se,
        max(low, 0.0) if low == low else low,
        min(high, 1.0) if high == high else high,
        len(table.y),
        groups,
        int(np.sum(given == 0.5)),
        int(np.isnan(given).sum()),
    )


def tie_share(verdicts: "pd.DataFrame") -> float:
    """Share of the valid verdicts that are ties; NaN without a valid one."""
    given = _preferences(verdicts)
    valid = given[~np.isnan(given)]
    return float(np.mean(valid == 0.5)) if len(valid) else math.nan


def invalid_share(verdicts: "pd.DataFrame") -> float:
    """Share of all verdicts that are invalid; NaN for an empty table."""
    given = _preferences(verdicts)
    return float(np.isnan(given).mean()) if len(given) else math.nan


def position_consistency(verdicts: "pd.DataFrame") -> float:
    """Share of pairs on which a judge that saw both orders said the same; NaN where nobody saw both."""
    _preferences(verdicts)
    if "consistent" not in verdicts.columns:
        return math.nan
    seen = verdicts["consistent"].dropna()
    return float(seen.astype(bool).mean()) if len(seen) else math.nan


def length_agreement(verdicts: "pd.DataFrame") -> Estimate:
    """Agreement with the baseline judge that prefers the longer completion: mean of 1 - |y - 1[policy's is longer]|.

    Over valid verdicts on completions of different length; a tie agrees by one half. A judge far above 0.5 may be
    measuring length.
    """
    given, table = _preferences(verdicts), verdicts
    difference = _length_difference(table)
    used = ~np.isnan(given) & ~np.isnan(difference) & (difference != 0)
    agrees = 1 - np.abs(given - (difference > 0))[used]
    clusters = _clusters(table)
    return statistics.mean(agrees, None if clusters is None else clusters[used])


def win_rate_length_controlled(
    verdicts: "pd.DataFrame", difficulty: Mapping[str, float] | None = None
) -> LengthControlled:
    """The win-rate that is left at equal length: logistic regression of y on 1 and x, read at x = 0.

    x is not centred, so that 0 is equal length, and has an intercept of its own, so that a policy does not pay for
    being longer than its baseline on average (after arXiv:2404.04475, sec. 3). `difficulty` (logits by prompt_id)
    is an offset: how much likelier any policy is to win on that prompt; the result is then the mean over prompts.
    The error is clustered (sandwich) and carried through the inverse logit. Missing without lengths, and where all
    differences are the same but not 0: then length and quality cannot be separated.
    Raises: ValueError as `win_rate`, and for prompts without a difficulty.
    """
    table = _prompts(verdicts, _preferences(verdicts))
    offset = _offset(table, difficulty)
    feature = length_feature(table.difference)
    if feature is None or len(table.y) < 2:
        return LengthControlled(math.nan, math.nan, math.nan)
    design = np.stack([np.ones(len(feature)), feature], axis=1)
    weights = fit_logistic(design, table.y, offset)
    at_equal = design * [1.0, 0.0]
    found = logistic_mean(weights, at_equal, (design, table.y), offset, table.clusters)
    return LengthControlled(found.value, found.se, float(weights[1]))


def measure(verdicts: "pd.DataFrame") -> dict[str, float | int | str | None]:
    """The row columns of one judge's verdicts on one cell, by column name."""
    rate, controlled = win_rate(verdicts), win_rate_length_controlled(verdicts)
    agreement = length_agreement(verdicts)
    return {
        "win_rate": rate.value,
        "win_rate_se": rate.se,
        "win_rate_baseline": _shared(verdicts, "baseline"),
        "win_rate_length_controlled": controlled.value,
        "win_rate_length_controlled_se": controlled.se,
        "judge": _shared(verdicts, "judge"),
        "judged_prompts": rate.prompts,
        "tie_share": tie_share(verdicts),
        "invalid_share": invalid_share(verdicts),
        "position_consistency": position_consistency(verdicts),
        "length_agreement": agreement.value,
        "length_agreement_se": agreement.se,
    }


def length_feature(difference: Floats) -> Floats | None:
    """x [N] = tanh(difference / sd), divisor N - 1, not centred; None where it holds nothing about length."""
    if len(difference) == 0 or np.isnan(difference).any():
        return None
    if np.all(difference == 0):
        return np.zeros(len(difference))
    spread = statistics.standard_deviation(difference)
    return np.tanh(difference / spread) if spread > 0 else None


def fit_logistic(design: Floats, y: Floats, offset: Floats | float = 0.0, ridge: float = RIDGE) -> Floats:
    """Coefficients [K] of P(y) = logistic(design [N, K] w + offset) for soft labels y [N], by Newton's method.

    Maximises the log-likelihood minus ridge / 2 |w|^2; a step that does not raise it is halved.
    """
    weights = np.zeros(design.shape[1])

    def objective(at: Floats) -> float:
        logits = design @ at + offset
        return float(np.sum(y * logits - np.logaddexp(0, logits)) - ridge / 2 * at @ at)

    for _ in range(_NEWTON_STEPS):
        p = logistic(design @ weights + offset)
        gradient = design.T @ (y - p) - ridge * weights
        step = np.linalg.solve(_curvature(design, p, ridge), gradient)
        while objective(weights + step) < objective(weights) and np.abs(step).max() > 1e-12:
            step = step / 2
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            break
    return weights


def logistic_mean(
    weights: Floats, at: Floats, fitted: tuple[Floats, Floats], offset: Floats | float, clusters: Clusters | None
) -> Estimate:
    """Mean of logistic(at [N, K] w + offset) and its clustered error, for a fit of (design [N, K], y [N]).

    The error holds both what the fit does not know and which prompts were drawn.
    """
    design, y = fitted
    p, read = logistic(design @ weights + offset), logistic(at @ weights + offset)
    slope = ((read * (1 - read))[:, None] * at).mean(axis=0)
    influence = (y - p) * (design @ np.linalg.solve(_curvature(design, p, RIDGE), slope))
    influence = influence + (read - read.mean()) / len(read)
    return Estimate(float(read.mean()), statistics.clustered_se(influence, clusters, coefficients=len(weights)))


def logistic(logits: Floats) -> Floats:
    """1 / (1 + exp(-logits)) without overflow."""
    return np.exp(-np.logaddexp(0, -logits))


def _curvature(design: Floats, p: Floats, ridge: float) -> Floats:
    return (design * (p * (1 - p))[:, None]).T @ design + ridge * np.eye(design.shape[1])


def _preferences(verdicts: "pd.DataFrame") -> Floats:
    """The door: preferences [N] of one judge, one baseline and one cell, NaN where invalid."""
    import pandas as pd

    if "preference" not in verdicts.columns:
        found = ", ".join(map(str, verdicts.columns)) or "no columns"
        raise ValueError(f"The verdict table lacks preference; found: {found}.")
    for name in ("cell", "judge", "baseline"):
        seen = sorted(map(str, verdicts[name].dropna().unique())) if name in verdicts.columns else []
        if len(seen) > 1:
            raise ValueError(
                f"The verdict table mixes {len(seen)} values of {name} ({', '.join(seen[:5])}); "
                f"measure one at a time, for example with verdicts.groupby({name!r})."
            )
    values = pd.to_numeric(verdicts["preference"]).to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = (values < 0) | (values > 1)
    if wrong.any():
        raise ValueError(
            f"preference is {values[wrong][0]:g} in row {int(np.flatnonzero(wrong)[0])}; allowed are 0 "
            "(loss) to 1 (win), 0.5 a tie, missing where the verdict is invalid."
        )
    return values


def _prompts(verdicts: "pd.DataFrame", y: Floats) -> _Prompts:
    """The valid verdicts, averaged within prompts, in the order of first appearance."""
    import pandas as pd

    ids = verdicts["prompt_id"].astype(str) if "prompt_id" in verdicts.columns else map(str, range(len(verdicts)))
    clusters = _clusters(verdicts)
    frame = pd.DataFrame({"id": list(ids), "y": y, "difference": _length_difference(verdicts)})
    frame["cluster"] = -1 if clusters is None else clusters
    frame = frame[frame["y"].notna()]
    means = frame.groupby("id", sort=False).agg(
        y=("y", "mean"),
        difference=("difference", lambda column: column.mean(skipna=False)),
        cluster=("cluster", "first"),
    )
    return _Prompts(
        means.index.to_numpy(),
        means["y"].to_numpy(),
        means["difference"].to_numpy(dtype=np.float64),
        None if clusters is None else means["cluster"].to_numpy(dtype=np.int64),
    )


def _length_difference(verdicts: "pd.DataFrame") -> Floats:
    """Length of the policy's completion minus the baseline's [N], NaN where one is not known."""
    import pandas as pd

    if not {"policy_tokens", "baseline_tokens"} <= set(verdicts.columns):
        return np.full(len(verdicts), np.nan)
    sides: list[Floats] = [
        pd.to_numeric(verdicts[name]).to_numpy(dtype=np.float64, na_value=np.nan)
        for name in ("policy_tokens", "baseline_tokens")
    ]
    return sides[0] - sides[1]


def _clusters(verdicts: "pd.DataFrame") -> Clusters | None:
    if "cluster_id" not in verdicts.columns:
        return None
    return statistics.cluster_codes(verdicts["cluster_id"])


def _offset(table: _Prompts, difficulty: Mapping[str, float] | None) -> Floats:
    if difficulty is None:
        return np.zeros(len(table.y))
    absent = [name for name in table.ids if name not in difficulty]
    if absent:
        raise ValueError(
            f"{len(absent)} prompts have no difficulty, first {absent[0]!r}; give one, in logits, for "
            "each prompt_id, or none at all."
        )
    return np.array([difficulty[name] for name in table.ids], dtype=np.float64)


def _shared(verdicts: "pd.DataFrame", name: str) -> str | None:
    """The one value of a column; None where it has none."""
    seen = list(verdicts[name].dropna().unique()) if name in verdicts.columns else []
    return str(seen[0]) if len(seen) else None


__all__ = [
    "LengthControlled",
    "WinRate",
    "fit_logistic",
    "invalid_share",
    "length_agreement",
    "length_feature",
    "logistic",
    "measure",
    "position_consistency",
    "tie_share",
    "win_rate",
    "win_rate_length_controlled",
]
