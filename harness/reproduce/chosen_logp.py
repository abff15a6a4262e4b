"""`chosen-logp`: chosen answers become less likely under dpo and more likely under orpo, on held-out film reviews.

arXiv:2403.07691 shows it for one run of a 7B model; orpo's likelihood term is the reason. Measured as the mean
log-ratio of held-out chosen answers (nats), over seeds, for dpo at the model's learning rate and at ten times that.
"""

from __future__ import annotations

from harness.reproduce.frame import Check, Request, phenomenon
from harness.reproduce.sweeps import measure

SEEDS = (0, 1, 2)
RATES = (1e-5, 1e-4)


def reproduce(request: Request) -> list[Check]:
    """The sign of the drift of chosen answers, and the margin beside it."""
    seeds = request.seeds or SEEDS
    words = [
        "suite=imdb-sentiment", "losses=dpo,orpo", f"seeds={','.join(map(str, seeds))}",
        f"dpo.lrs={','.join(f'{rate:g}' for rate in RATES)}", "train_pairs=64", "eval_pairs=32",
        "controls=false", f"out={request.out / 'chosen-logp'}",
        f"model={request.model}" if request.model else "max_tokens=128",
    ]  # fmt: skip
    found = measure(words, request.progress)
    checks = []
    for rate in RATES:
        drift = found.by_seed("dpo", "chosen_logp_drift", lr=rate)
        margin = found.by_seed("dpo", "margin", lr=rate)
        checks += [
            phenomenon(f"dpo lr={rate:g}", "chosen_logp_drift", "falls", drift, high=0.0),
            phenomenon(f"dpo lr={rate:g}", "margin", "grows", margin, low=0.0),
        ]
    low, high = (found.by_seed("dpo", "chosen_logp_drift", lr=rate) for rate in RATES)
    orpo = found.by_seed("orpo", "chosen_logp_drift")
    return [
        *checks,
        phenomenon("dpo", "drift at the larger lr less the smaller", "a larger lr falls further",
                   [b - a for a, b in zip(low, high, strict=True)], high=0.0),
        phenomenon("orpo", "chosen_logp_drift", "does not fall", orpo, low=0.0),
    ]  # fmt: skip
