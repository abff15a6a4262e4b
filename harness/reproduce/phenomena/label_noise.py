"""`label-noise`: held-out accuracy that each loss loses when three in ten training labels are reversed.

arXiv:2403.00409 derives `robust` from dpo for a known share of wrong labels and finds it above dpo and the heuristic
`cdpo` under noise. Both are told the share here. Controlled sentiment; the held-out labels stay right.
"""

from __future__ import annotations

from harness.reproduce.frame import Check, Request, reported
from harness.reproduce.phenomena.findings import signed
from harness.reproduce.phenomena.sentiment import rate, train
from harness.reproduce.phenomena.sweeps import less

LOSSES = ("dpo", "cdpo", "robust")
NOISE = 0.3


def reproduce(request: Request) -> list[Check]:
    """Accuracy with right and with wrong labels, loss by loss, and the orders that are published."""
    argv = [
        f"losses={','.join(LOSSES)}",
        f"lrs={rate(request):g}",
        f"suite.label_noise=0,{NOISE:g}",
        *(f"{loss}.label_smoothing={NOISE:g}" for loss in ("cdpo", "robust")),
    ]
    found = train(request, argv, completions=False)
    accuracy = {
        (loss, noise): found.by_seed(loss, "preference_accuracy", label_noise=noise)
        for loss in LOSSES
        for noise in (0.0, NOISE)
    }
    lost = {loss: less(accuracy[loss, 0.0], accuracy[loss, NOISE]) for loss in LOSSES}
    noisy = {loss: accuracy[loss, NOISE] for loss in LOSSES}
    return [
        *(reported(loss, f"accuracy at noise {noise:g}", values) for (loss, noise), values in accuracy.items()),
        *(reported(loss, "accuracy lost to noise", lost[loss]) for loss in LOSSES if loss != "dpo"),
        signed("dpo", "dpo: accuracy lost to noise", lost["dpo"]),
        *(
            signed(
                f"robust over {other}",
                f"robust over {other}: accuracy under noise",
                less(noisy["robust"], noisy[other]),
            )
            for other in ("dpo", "cdpo")
        ),
    ]
