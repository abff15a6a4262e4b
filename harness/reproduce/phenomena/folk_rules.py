"""`folk-rules`: three rules of tutorials on dpo, measured on the packaged model with AdamW.

1. "Halving beta is doubling the learning rate." The early training margin follows lr^p * beta^q; the rule wants
   p + q = 0, theory of AdamW p = 1 and q = 0. `beta-against-lr` has both optimisers in theory; here is the model.
2. "A beta of 1 and more learns nothing": the final training margin as a share of that at beta 0.1.
3. "Quality drops after three to five epochs": held-out accuracy after six epochs less that after two.

The first two are measured on statements that are repeated, where a margin is no noise; the third on sentiment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, linear_regression

from harness.reproduce.frame import Check, Request, phenomenon, reported
from harness.reproduce.phenomena.findings import figure_of, signed
from harness.reproduce.phenomena.sentiment import SEEDS, rate, train
from harness.reproduce.phenomena.statements import pairs
from harness.reproduce.phenomena.sweeps import Measured, learning_rate, less, measure, sweep_word, write_pairs

BETAS = (0.05, 0.1, 1, 5)
TIMES = (0.1, 1)  # the model's learning rate
STATEMENTS, STEPS = 4, 10
EARLY = 2  # updates before the early margin: it is small against 1/beta then
NEAR = 0.25  # of an exponent
NOTHING = 0.1  # of the margin at beta 0.1
PAIRS, EPOCHS, EVALS = 32, 6, 3


def reproduce(request: Request) -> list[Check]:
    """Exponents, shares of the margin, and accuracy over epochs."""
    rates = {times: learning_rate(request, times) for times in TIMES}
    betas = _repeated(request, [sweep_word("dpo.beta", BETAS), f"dpo.lrs={rates[1]:g}"])
    slower = _repeated(request, [sweep_word("dpo.lrs", list(rates.values()))])
    curves = {beta: betas.curve("dpo", "margin", beta=beta) for beta in BETAS}
    return [
        *_exponents(
            {beta: [curve[EARLY] for curve in found] for beta, found in curves.items()},
            {lr: [curve[EARLY] for curve in slower.curve("dpo", "margin", lr=lr)] for lr in rates.values()},
        ),
        *_strong({beta: [curve[-1] for curve in found] for beta, found in curves.items()}),
        *_epochs(request),
    ]


def _repeated(request: Request, argv: Sequence[str]) -> Measured:
    """dpo on a few statements, all of them at every step; seeds draw the statements."""
    folder = request.out / "folk-rules"
    file = write_pairs(folder / "pairs.jsonl", *pairs("No", "Never"))
    shared = [
        f"suite={file}",
        "losses=dpo",
        f"seeds={','.join(map(str, request.seeds or SEEDS))}",
        f"out={folder}",
        f"train_pairs={STATEMENTS}",
        f"batch_size={STATEMENTS}",
        f"epochs={STEPS}",
        "eval_pairs=4",
        "controls=false",
        "lr_schedule=constant",
        "warmup=0",
        *([f"model={request.model}"] if request.model else []),
    ]
    return measure([*shared, *argv], request.progress)


def _exponents(by_beta: dict[float, list[float]], by_rate: dict[float, list[float]]) -> list[Check]:
    """Exponents of the early margin, fitted seed by seed."""
    p, q = (
        [exponent(list(margins), list(seed)) for seed in zip(*margins.values(), strict=True)]
        for margins in (by_rate, by_beta)
    )
    rule = figure_of("halving beta is doubling lr: exponents", "sum")
    both = [a + b for a, b in zip(p, q, strict=True)]
    return [
        phenomenon("early margin", "exponent of lr", "1 in theory", p, low=1 - NEAR, high=1 + NEAR),
        phenomenon("early margin", "exponent of beta", "0 in theory of AdamW", q, low=-NEAR, high=NEAR),
        phenomenon(
            "halving beta is doubling lr",
            "sum of both exponents",
            f"{rule.value:g} by the rule",
            both,
            low=rule.value - NEAR,
            high=rule.value + NEAR,
        ),
    ]


def exponent(settings: Sequence[float], margins: Sequence[float]) -> float:
    """The slope of log margin on log setting by least squares; NaN where a margin is not positive."""
    if min(margins) <= 0:
        return math.nan
    return linear_regression([math.log(x) for x in settings], [math.log(y) for y in margins]).slope


def _strong(margins: dict[float, list[float]]) -> list[Check]:
    """The final training margin at each beta from 1 on as a share of that at 0.1."""
    rule = figure_of("beta of 1 and more: share of the margin", "size")
    return [
        phenomenon(
            f"beta={beta:g} learns nothing",
            "margin over that at beta 0.1",
            f"{rule.value:g} by the rule",
            [strong / weak for strong, weak in zip(found, margins[0.1], strict=True)],
            low=-NOTHING,
            high=NOTHING,
        )
        for beta, found in margins.items()
        if beta >= 1
    ]


def _epochs(request: Request) -> list[Check]:
    """Held-out accuracy after each third of the epochs, and its change from the first to the last."""
    found = train(
        request,
        ["losses=dpo", f"dpo.lrs={rate(request):g}", f"epochs={EPOCHS}", f"evals={EVALS}"],
        pairs=PAIRS,
        completions=False,
    )
    accuracy = found.accuracies("dpo")
    passed = [EPOCHS * (number + 1) // EVALS for number in range(EVALS)]
    loss = [less(curve[-4:], curve[:4]) for curve in found.curve("dpo", "loss_value")]
    return [
        *(
            reported("epochs", f"accuracy after {epoch}", [seed[number] for seed in accuracy])
            for number, epoch in enumerate(passed)
        ),
        signed(
            "epochs",
            "after three to five epochs: accuracy",
            [seed[-1] - seed[0] for seed in accuracy],
            quantity=f"accuracy after {passed[-1]} less after {passed[0]}",
        ),
        phenomenon(
            "epochs",
            "change of the training loss",
            "< 0, by the loss",
            [fmean(seed) for seed in loss],
            high=0.0,
            follows=True,
        ),
    ]
