"""`chosen-logp`: chosen answers become less likely under dpo and more likely under orpo, on held-out film reviews.

arXiv:2403.07691 shows it for one run of a 7B model; orpo's likelihood term is the reason. Measured as the mean
log-ratio of held-out chosen answers (nats), over seeds, for dpo at two learning rates, one ten times the other.
"""

from __future__ import annotations

from harness.reproduce.claims import signed
from harness.reproduce.frame import Check, Request, phenomenon
from harness.reproduce.sentiment import rate, sweep_word, train

TIMES = (1, 10)


def reproduce(request: Request) -> list[Check]:
    """The sign of the drift of chosen answers, and the trained margin beside it."""
    rates = [rate(request, times) for times in TIMES]
    found = train(request, ["losses=dpo,orpo", sweep_word("dpo.lrs", rates)])
    checks = []
    drifts = []
    for lr in rates:
        drifts.append(found.by_seed("dpo", "chosen_logp_drift", lr=lr))
        margins = [sum(curve[-3:]) / 3 for curve in found.curve("dpo", "margin", lr=lr)]
        checks += [
            signed(f"dpo lr={lr:g}", "dpo: change of log p(chosen)", drifts[-1], quantity="chosen_logp_drift"),
            phenomenon(f"dpo lr={lr:g}", "margin of the last batches", "> 0, by the loss", margins, low=0.0,
                       follows=lr == rates[0]),
        ]  # fmt: skip
    further = [b - a for a, b in zip(*drifts, strict=True)]
    orpo = found.by_seed("orpo", "chosen_logp_drift")
    return [
        *checks,
        signed("dpo", "a larger lr: change of log p(chosen)", further, quantity="drift at ten times the lr less at 1"),
        signed("orpo", "orpo: change of log p(chosen)", orpo, quantity="chosen_logp_drift"),
    ]
