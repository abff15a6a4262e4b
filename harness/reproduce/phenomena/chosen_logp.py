"""`chosen-logp`: chosen completions become less likely under dpo and more likely under orpo, on held-out film reviews.

arXiv:2403.07691 shows it for one run of a 7B model; orpo's likelihood term is the reason. Measured as the mean
log-ratio of held-out chosen completions (nats), over seeds, for dpo at two learning rates, one ten times the other.
"""

from __future__ import annotations

from harness.reproduce.frame import Check, Request, reported
from harness.reproduce.phenomena.findings import signed
from harness.reproduce.phenomena.sentiment import rate, train
from harness.reproduce.phenomena.sweeps import sweep_word

TIMES = (1, 10)


def reproduce(request: Request) -> list[Check]:
    """The sign of the change in log-prob of chosen completions, and the margin beside it."""
    rates = [rate(request, times) for times in TIMES]
    found = train(request, ["losses=dpo,orpo", sweep_word("dpo.lrs", rates)])
    checks = []
    changes = []
    for lr in rates:
        changes.append(found.by_seed("dpo", "chosen_logp_drift", lr=lr))
        checks += [
            signed(f"dpo lr={lr:g}", "dpo: change of log p(chosen)", changes[-1], quantity="chosen_logp_drift"),
            reported(f"dpo lr={lr:g}", "margin of held-out pairs", found.by_seed("dpo", "margin", lr=lr)),
        ]
    further = [b - a for a, b in zip(*changes, strict=True)]
    orpo = found.by_seed("orpo", "chosen_logp_drift")
    return [
        *checks,
        signed("dpo", "a larger lr: change of log p(chosen)", further, quantity="change at ten times the lr less at 1"),
        signed("orpo", "orpo: change of log p(chosen)", orpo, quantity="chosen_logp_drift"),
    ]
