"""Is halving beta like doubling the learning rate? Exponents of both in the margin that runs have reached.

    results.exponents.exponents(results.read("runs"))     # one row a loss

Fitted is margin = const * lr^p * beta^q over the finished cells of a loss. The rule of tutorials says that only lr/beta
matters, hence q = -p: the sum p + q would be 0.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from results.cells.frames import rows_frame
from results.metrics.statistics import MISSING, Estimate, Floats, interval
from results.schema.tables import EXPONENT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

NEAR = 0.25
"""The rule counts as confirmed where the whole interval of p + q is within this distance of 0."""

FEWEST = 4
"""Cells that a fit of three numbers with an error needs."""


class Exponents(NamedTuple):
    """p of lr, q of beta and their sum, each with its standard error; the fit's degrees of freedom; the largest
    relative deviation of a margin from the fit."""

    lr: Estimate
    beta: Estimate
    sum: Estimate
    degrees: int
    error: float


UNKNOWN = Exponents(MISSING, MISSING, MISSING, 0, math.nan)


def exponents(runs: "pd.DataFrame") -> "pd.DataFrame":
    """The exponents of every loss and protocol whose finished cells differ in beta and in lr, as EXPONENT_COLUMNS.

    Cells with a margin of 0 or below have no logarithm and are left out and counted. Every cell counts alike, further
    hyper-parameters and seeds are scatter. A loss without such cells has no row.
    """
    done = runs[(runs["status"] == "done") & runs["beta"].notna() & runs["lr"].notna() & runs["margin"].notna()]
    lines: list[dict[str, Any]] = []
    for (protocol, loss), rows in done.groupby(["protocol", "loss"], sort=False, dropna=False):
        used = rows[rows["margin"] > 0]
        found = fit(*(used[name].to_numpy(dtype=float) for name in ("lr", "beta", "margin")))
        if math.isnan(found.sum.value):
            continue
        line = {"protocol": protocol, "loss": loss, "cells": len(used), "left_out": len(rows) - len(used)}
        for name, value in (("lr", found.lr), ("beta", found.beta), ("sum", found.sum)):
            ends = interval(value, found.degrees)
            line |= {f"{name}_exponent": value.value, f"{name}_low": ends.low, f"{name}_high": ends.high}
        lines.append({**line, "verdict": verdict(found)})
    return rows_frame(lines, EXPONENT_COLUMNS)


def fit(lr: Floats, beta: Floats, margin: Floats) -> Exponents:
    """Least squares of log margin on log lr and log beta, arrays [N]; missing where a margin is not above 0, or where
    the runs do not determine both exponents and an error."""
    if len(lr) < FEWEST or (margin <= 0).any():
        return UNKNOWN
    inputs = np.stack([np.ones(len(lr)), np.log(lr), np.log(beta)], axis=1)
    if np.linalg.matrix_rank(inputs - [0, *inputs[:, 1:].mean(axis=0)]) < 3:
        return UNKNOWN
    solution = np.linalg.lstsq(inputs, np.log(margin))[0]
    left, degrees = np.log(margin) - inputs @ solution, len(lr) - 3
    covariance = np.linalg.inv(inputs.T @ inputs) * float(left @ left) / degrees

    def along(*weights: float) -> Estimate:
        direction = np.array(weights)
        return Estimate(float(direction @ solution), math.sqrt(float(direction @ covariance @ direction)))

    return Exponents(along(0, 1, 0), along(0, 0, 1), along(0, 1, 1), degrees, math.expm1(float(np.abs(left).max())))


def verdict(found: Exponents) -> str:
    """What the interval of p + q says about the rule: confirmed, refuted, or not decided."""
    low, high = interval(found.sum, found.degrees)
    if low > 0 or high < 0:
        return "refuted"
    return "confirmed" if max(-low, high) <= NEAR else "not decided"
