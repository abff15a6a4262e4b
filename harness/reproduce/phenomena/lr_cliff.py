"""`lr-cliff`: at ten times a learning rate that works, dpo's completions get worse and poorer.

arXiv:2603.19335 measures it on GSM8K (52 % at 5e-7, 16 % at 5e-6), SimPO's README as incoherent and repeating text.
Here: known reward of the completions, their variety (distinct_2) and held-out accuracy on controlled sentiment.
"""

from __future__ import annotations

from harness.reproduce.frame import Check, Request, reported
from harness.reproduce.phenomena.findings import signed
from harness.reproduce.phenomena.sentiment import rate, train
from harness.reproduce.phenomena.sweeps import less, sweep_word

TIMES = (1, 10)
COLUMNS = ("gold_reward_gain", "distinct_2", "preference_accuracy", "kl")


def reproduce(request: Request) -> list[Check]:
    """What either rate gives, and the change from one to the other."""
    rates = [rate(request, times) for times in TIMES]
    found = train(request, ["losses=dpo", sweep_word("dpo.lrs", rates)])
    checks = [
        reported(f"dpo lr={lr:g}", column, found.by_seed("dpo", column, lr=lr)) for lr in rates for column in COLUMNS
    ]
    findings = {
        "gold_reward_gain": "dpo at ten times the lr: quality",
        "preference_accuracy": "dpo at ten times the lr: quality",
        "distinct_2": "dpo at ten times the lr: variety of the text",
    }
    for column, finding in findings.items():
        works, beyond = (found.by_seed("dpo", column, lr=lr) for lr in rates)
        checks.append(signed("dpo, tenfold", finding, less(beyond, works), quantity=f"change of {column}"))
    return checks
