"""`daa-blur-stats`: do pairwise losses beat pointwise ones in table 2 of arXiv:2502.01237? The permutation test again.

Four methods look at pairs, four at single completions. One-sided exact test: the share of all 70 ways to pick four of
eight methods whose sum is at least that of the pairwise four.
"""

from __future__ import annotations

from itertools import combinations

from harness.reproduce.frame import Check, Request, number
from results.literature.tables import table

MODELS = ("llama-3.2-3b", "llama-3.1-8b", "mistral-7b")
PAIRWISE = ("DPO", "IPO", "SimPO", "ORPO")
POINTWISE = ("APO-Zero", "NCA", "Cal-DPO", "ASFT")
TOLERANCE = 5e-5


def reproduce(request: Request) -> list[Check]:
    """The p value of every model and metric."""
    printed, checks = table("daa_blur"), []
    for model in MODELS:
        finding = f"{model} pairwise over pointwise"
        for quantity, p in printed[finding].items():
            metric = quantity.removesuffix("_p")
            scores = {name: printed[f"{model} {name}"][metric] for name in PAIRWISE + POINTWISE}
            checks.append(number(finding, quantity, p, permutation_p(scores), TOLERANCE))
    return checks


def permutation_p(scores: dict[str, float]) -> float:
    """One-sided exact p value that the pairwise methods score higher, over all splits into two halves."""
    observed = sum(scores[name] for name in PAIRWISE)
    sums = [sum(scores[name] for name in chosen) for chosen in combinations(scores, len(PAIRWISE))]
    return sum(total >= observed - 1e-9 for total in sums) / len(sums)
