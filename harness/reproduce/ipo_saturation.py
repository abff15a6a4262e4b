"""`ipo-saturation`: on pairs that are trained again and again, ipo's margin stops at 1/(2 beta) and dpo's goes on.

arXiv:2310.12036, section 5: a preference that is certain has no finite optimum under dpo. Few pairs, every step on all
of them. `ipo_sum` at beta 0.1 has the target 5 nats; `ipo` means per token, and at beta 0.1 its target of 5 nats a
token is far out of reach, so it runs at beta 5: 0.1 nats a token.
"""

from __future__ import annotations

from statistics import fmean

from harness.reproduce.frame import Check, Request, phenomenon
from harness.reproduce.statements import TRAINED, pairs
from harness.reproduce.sweeps import Measured, measure, write_pairs

SEEDS = (0, 1, 2)
STEPS = 60
RATE = 3e-5  # of the packaged model: saturation within STEPS; another model keeps its own
BETAS = {"ipo_sum": 0.1, "ipo": 5.0, "dpo": 0.1}
TAIL = 0.1  # the share of the last steps over which a margin is read


def reproduce(request: Request) -> list[Check]:
    """The final training margin in targets for both forms of ipo; for dpo its size and late growth."""
    found = _train(request)
    checks = []
    for loss in ("ipo_sum", "ipo"):
        target = 1 / (2 * BETAS[loss])
        reached = [_end(curve) / target for curve in found.curve(loss, "margin")]
        checks.append(phenomenon(loss, "final margin over 1/(2 beta)", "1", reached, low=0.8, high=1.2))
    curves = found.curve("dpo", "margin")
    target = 1 / (2 * BETAS["ipo_sum"])
    size, growth = [_end(c) / target for c in curves], [_end(c) - c[len(c) // 2] for c in curves]
    return [
        *checks,
        phenomenon("dpo", "final margin over ipo_sum's target", "unbounded", size, low=2.0),
        phenomenon("dpo", "growth in the last half, nats", "goes on", growth, low=0.0),
    ]


def _train(request: Request) -> Measured:
    folder = request.out / "ipo-saturation"
    file = write_pairs(folder / "pairs.jsonl", *pairs("No", "Never"))
    seeds = request.seeds or SEEDS
    words = [
        f"suite={file}", f"losses={','.join(BETAS)}", f"seeds={','.join(map(str, seeds))}", f"out={folder}",
        f"train_pairs={TRAINED // 2}", f"batch_size={TRAINED // 2}", f"epochs={STEPS}", "eval_pairs=4",
        "controls=false", "lr_schedule=constant", "warmup=0",
        *(f"{loss}.beta={beta:g}" for loss, beta in BETAS.items()),
        f"model={request.model}" if request.model else f"lrs={RATE:g}",
    ]  # fmt: skip
    return measure(words, request.progress)


def _end(curve: list[float]) -> float:
    """The mean of the last steps: single ones swing."""
    return fmean(curve[-max(1, round(TAIL * len(curve))):])
