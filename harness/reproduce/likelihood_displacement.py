"""`likelihood-displacement`: the chosen answer's log-prob while a loss is trained on "No" against "Never" and "Yes".

arXiv:2410.08847 trains models of 1B to 8B on single prompts and reports the largest fall of the chosen answer's
probability. Here a small model is trained on a few prompts at once, so the sign is the claim, for dpo and ipo (with
sums, as there); the other losses are reported. Seeds draw the prompts.
"""

from __future__ import annotations

import losses
from harness.options import UsageError
from harness.reproduce.frame import REPORTED, Check, Request, interval, phenomenon
from harness.reproduce.statements import pairs
from harness.reproduce.sweeps import Measured, measure, write_pairs
from harness.values import unknown

ANSWERS = {"no-never": ("No", "Never"), "yes-no": ("Yes", "No")}
LOSSES = ("dpo", "ipo_sum", "ipo", "kto", "simpo", "orpo", "cpo", "dpop", "hinge", "nca_pair", "apo_zero", "ln_dpo")
CLAIMED = {"dpo": "falls (0.21 to 0.96)", "ipo_sum": "falls too (table 3)"}
SEEDS = (0, 1, 2)
PAIRS, STEPS = 4, 15


def reproduce(request: Request) -> list[Check]:
    """The change of the chosen answer's log-prob over training, in nats, for each loss and pair of answers.

    Raises: UsageError for a row that is no loss.
    """
    asked = tuple(request.rows) or LOSSES
    if strangers := [name for name in asked if name not in losses.names()]:
        raise UsageError([unknown("loss", name, losses.names()) for name in strangers])
    checks = []
    for name, answers in ANSWERS.items():
        found = _train(name, answers, asked, request)
        for loss in asked:
            checks.append(_check(loss, name, found))
    return checks


def _train(name: str, answers: tuple[str, str], asked: tuple[str, ...], request: Request) -> Measured:
    folder = request.out / "likelihood-displacement"
    file = write_pairs(folder / f"{name}.jsonl", *pairs(*answers))
    seeds = request.seeds or SEEDS
    words = [
        f"suite={file}", f"losses={','.join(asked)}", f"seeds={','.join(map(str, seeds))}", f"out={folder}",
        f"train_pairs={PAIRS}", f"batch_size={PAIRS}", f"epochs={STEPS}", "eval_pairs=4", "controls=false",
        "lr_schedule=constant", "warmup=0", "start=sft",
    ]  # fmt: skip
    return measure([*words, f"model={request.model}"] if request.model else words, request.progress)


def _check(loss: str, name: str, found: Measured) -> Check:
    """Last logged step less the first: below 0 the chosen answer has become less likely."""
    curves = found.curve(loss, "chosen_logp")
    changes = [curve[-1] - curve[0] for curve in curves]
    margins = found.by_seed(loss, "preference_accuracy")
    note = f"preference accuracy {sum(margins) / len(margins):.2f} on held-out statements"
    quantity = f"{name}: change of log p(chosen)"
    if loss in CLAIMED:
        return phenomenon(loss, quantity, CLAIMED[loss], changes, high=0.0, note=note)
    seen = interval(changes)
    return Check(loss, quantity, "-", seen.value, "-", REPORTED, note, seen.low, seen.high)
