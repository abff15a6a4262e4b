"""`oxrl-stats`: the tests of arXiv:2603.19335 on GSM8K from its means, deviations and seeds.

A table to learn caution from: every loss had one learning rate, and SimPO ran at beta 0.1, a twentieth of the
smallest value that its authors use, so its last place says nothing about the loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.reproduce.frame import Check, Request, bound, number
from results.literature.tables import table

SEEDS = 5
COMPARISONS = 19
P_TOLERANCE, D_TOLERANCE, PRINTED = 5e-3, 0.02, 5e-3


def reproduce(request: Request) -> list[Check]:
    """Welch's p and Cohen's d against DPO at 1.5B, Bonferroni's survivors, and the seeds of the 7B runs."""
    printed = table("oxrl")
    return [*_against_dpo(printed), *_survivors(printed), *_seeds(printed), *_pairs(printed)]


def _against_dpo(printed: dict[str, dict[str, float]]) -> list[Check]:
    checks = []
    for name, figures in printed.items():
        if "cohen_d" not in figures:
            continue
        p, d = _welch(figures, printed["DPO"]), cohen_d(figures, printed["DPO"])
        if "p" in figures:
            checks.append(number(name, "Welch p", figures["p"], p, P_TOLERANCE))
        else:
            checks.append(bound(name, "Welch p", f"< {figures['p_at_most']:g}", p, high=figures["p_at_most"]))
        checks.append(number(name, "Cohen d", figures["cohen_d"], d, D_TOLERANCE))
    return checks


def _survivors(printed: dict[str, dict[str, float]]) -> list[Check]:
    """How many of the losses differ from DPO after Bonferroni over 19 comparisons: SimPO alone."""
    losses = [name for name, figures in printed.items() if "std" in figures and not name.startswith("7B")]
    level = 0.05 / COMPARISONS
    passed = [name for name in losses if name != "DPO" and _welch(printed[name], printed["DPO"]) < level]
    return [
        number("SimPO", "survivors of Bonferroni", 1, len(passed), 0, f"at 0.05/19: {', '.join(passed)}"),
        bound("SimPO", "its p over the level", "passes", _welch(printed["SimPO"], printed["DPO"]) / level, high=1),
    ]


def _seeds(printed: dict[str, dict[str, float]]) -> list[Check]:
    """Means of the 7B seeds, and their deviations, which are those of a population (divisor n)."""
    checks = []
    for name, figures in printed.items():
        if not name.startswith("7B") or "mean" not in figures:
            continue
        scores = _scores(figures)
        centre = math.fsum(scores) / len(scores)
        checks.append(number(name, "mean", figures["mean"], centre, PRINTED))
        if "std" in figures:
            deviation = math.sqrt(math.fsum((x - centre) ** 2 for x in scores) / len(scores))
            checks.append(number(name, "std", figures["std"], deviation, PRINTED, "divisor n, not n - 1"))
    return checks


def _pairs(printed: dict[str, dict[str, float]]) -> list[Check]:
    from scipy import stats

    checks = []
    for name, figures in printed.items():
        first, _, second = name.removeprefix("7B ").partition(" and ")
        if second:
            samples = (_scores(printed[f"7B {side}"]) for side in (first, second))
            p = float(stats.ttest_ind(*samples, equal_var=False).pvalue)
            checks.append(number(name, "Welch p", figures["p"], p, P_TOLERANCE))
    return checks


def _scores(figures: dict[str, float]) -> Sequence[float]:
    return [value for name, value in figures.items() if name.startswith("seed ")]


def _welch(a: dict[str, float], b: dict[str, float]) -> float:
    """Two-sided p of Welch's test from means and standard deviations over the seeds."""
    from scipy import stats

    found = stats.ttest_ind_from_stats(a["mean"], a["std"], SEEDS, b["mean"], b["std"], SEEDS, equal_var=False)
    return float(found.pvalue)


def cohen_d(a: dict[str, float], b: dict[str, float]) -> float:
    """Difference of means over the root mean square of the two standard deviations (equal group sizes)."""
    return (a["mean"] - b["mean"]) / math.sqrt((a["std"] ** 2 + b["std"] ** 2) / 2)
