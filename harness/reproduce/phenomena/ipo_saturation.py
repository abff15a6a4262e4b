"""`ipo-saturation`: on pairs that are trained again and again, ipo's margin stops at 1/(2 beta) and dpo's goes on.

arXiv:2310.12036, section 5: a preference that is certain has no finite optimum under dpo. Few pairs, every step on all
of them. `ipo_sum` at beta 0.1 has the target 5 nats; `ipo` means per token, and its target of 2 nats a token (beta
0.25) is as far away on completions of one word.
"""

from __future__ import annotations

from statistics import fmean

from harness.reproduce.frame import Check, Request, phenomenon
from harness.reproduce.phenomena.findings import figure_of, signed, source
from harness.reproduce.phenomena.statements import pairs
from harness.reproduce.phenomena.sweeps import Measured, learning_rate, measure, write_pairs

SEEDS = (0, 1, 2)
PAIRS, STEPS = 4, 24
TIMES = 1.0  # the model's learning rate: saturation within STEPS
BETAS = {"ipo_sum": 0.1, "ipo": 0.25, "dpo": 0.1}
STOPPED = 0.1  # of the target: a margin whose mean moved less from the second third of the steps to the last
NEAR = 0.2  # of the target


def reproduce(request: Request) -> list[Check]:
    """The final training margin in targets for both forms of ipo; for dpo its size and late growth.

    An ipo that has stopped elsewhere contradicts its loss; one that still moves has not been trained for long enough.
    """
    found = _train(request)
    published = figure_of("ipo: final margin", "targets")
    checks = []
    for loss in ("ipo_sum", "ipo"):
        target = 1 / (2 * BETAS[loss])
        curves = [[margin / target for margin in curve] for curve in found.curve(loss, "margin")]
        moved = max(abs(_late_growth(curve)) for curve in curves)
        checks.append(
            phenomenon(
                loss,
                "final margin over 1/(2 beta)",
                f"{published.value:g} ({source(published)})",
                [_end(curve) for curve in curves],
                low=published.value - NEAR,
                high=published.value + NEAR,
                note=f"its mean moved by {moved:.2f} in the last third",
                follows=moved < STOPPED,
            )
        )
    curves = found.curve("dpo", "margin")
    target = 1 / (2 * BETAS["ipo_sum"])
    return [
        *checks,
        phenomenon(
            "dpo",
            "final margin over ipo_sum's target",
            "unbounded",
            [_end(curve) / target for curve in curves],
            low=2.0,
        ),
        signed("dpo", "dpo: late growth of the margin", [_late_growth(curve) for curve in curves], follows=True),
    ]


def _train(request: Request) -> Measured:
    folder = request.out / "ipo-saturation"
    file = write_pairs(folder / "pairs.jsonl", *pairs("No", "Never"))
    seeds = request.seeds or SEEDS
    argv = [
        f"suite={file}",
        f"losses={','.join(BETAS)}",
        f"seeds={','.join(map(str, seeds))}",
        f"out={folder}",
        f"train_pairs={PAIRS}",
        f"batch_size={PAIRS}",
        f"epochs={STEPS}",
        "eval_pairs=4",
        "controls=false",
        "lr_schedule=constant",
        "warmup=0",
        *(f"{loss}.beta={beta:g}" for loss, beta in BETAS.items()),
        f"lrs={learning_rate(request, TIMES):g}",
        *([f"model={request.model}"] if request.model else []),
    ]
    return measure(argv, request.progress)


def _end(curve: list[float]) -> float:
    """The mean over the last third of the steps, a whole swing: under momentum a margin swings about its target."""
    return fmean(curve[len(curve) * 2 // 3 :])


def _late_growth(curve: list[float]) -> float:
    """The mean over the last third of the steps less that over the second."""
    return _end(curve) - fmean(curve[len(curve) // 3 : len(curve) * 2 // 3])
