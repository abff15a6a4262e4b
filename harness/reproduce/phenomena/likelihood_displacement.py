"""`likelihood-displacement`: the chosen completion's log-prob in training on "No" over "Never" and on "Yes" over "No".

arXiv:2410.08847 trains models of 1B to 8B on single prompts and reports the largest fall of the chosen completion's
probability. Here a small model is trained on a few prompts at once, so the sign is the finding, for dpo and ipo (with
sums, as there); the other losses are reported, on "No" over "Never" alone. Seeds draw the prompts. Any loss can be
asked for by `rows=`.

There an epoch of SFT on several completions comes first. Here it is left out: SFT on the one chosen completion ends at
a probability of 0.99996, from which dpo took 0.016 nats at most, and a fall below FALL is none.
"""

from __future__ import annotations

import losses
from harness.errors import UsageError
from harness.options.parsers import unknown
from harness.reproduce.frame import Check, Request, phenomenon, reported
from harness.reproduce.phenomena.findings import figure_of, source
from harness.reproduce.phenomena.statements import pairs
from harness.reproduce.phenomena.sweeps import Measured, measure, write_pairs

COMPLETIONS = {"no-never": ("No", "Never"), "yes-no": ("Yes", "No")}
CLAIMED = ("dpo", "ipo_sum")
OTHERS = ("simpo", "orpo", "kto", "dpop", "cpo")
SEEDS = (0, 1, 2)
PAIRS, STEPS = 4, 10
FALL = 0.1  # nats


def reproduce(request: Request) -> list[Check]:
    """The change of the chosen completion's log-prob over training, in nats, for each loss and pair of completions.

    Raises: UsageError for a row that is no loss.
    """
    if unnamed := [name for name in request.rows if name not in losses.names()]:
        raise UsageError([unknown("loss", name, losses.names()) for name in unnamed])
    asked = {
        "no-never": tuple(request.rows) or (*CLAIMED, *OTHERS),
        "yes-no": tuple(request.rows) or CLAIMED,
    }
    checks = []
    for name, completions in COMPLETIONS.items():
        found = _train(name, completions, asked[name], request)
        for loss in asked[name]:
            checks += _checks(loss, name, found)
    return checks


def _train(name: str, completions: tuple[str, str], asked: tuple[str, ...], request: Request) -> Measured:
    folder = request.out / "likelihood-displacement"
    file = write_pairs(folder / f"{name}.jsonl", *pairs(*completions))
    seeds = request.seeds or SEEDS
    argv = [
        f"suite={file}",
        f"losses={','.join(asked)}",
        f"seeds={','.join(map(str, seeds))}",
        f"out={folder}",
        f"train_pairs={PAIRS}",
        f"batch_size={PAIRS}",
        f"epochs={STEPS}",
        "eval_pairs=4",
        "controls=false",
        "lr_schedule=constant",
        "warmup=0",
    ]
    return measure([*argv, f"model={request.model}"] if request.model else argv, request.progress)


def _checks(loss: str, name: str, found: Measured) -> list[Check]:
    """Last logged step less the first, in nats: below 0 the chosen completion has become less likely.

    For the losses with a published finding also the margin of the same pairs, which they were trained to raise.
    """
    changes = [curve[-1] - curve[0] for curve in found.curve(loss, "chosen_logp")]
    accuracies = found.by_seed(loss, "preference_accuracy")
    note = f"preference accuracy {sum(accuracies) / len(accuracies):.2f} on held-out statements"
    quantity = f"{name}: change of log p(chosen)"
    if loss not in CLAIMED:
        return [reported(loss, quantity, changes, note)]
    margins = [curve[-1] - curve[0] for curve in found.curve(loss, "margin")]
    figure = figure_of(f"{loss}: change of log p(chosen)", "sign")
    return [
        phenomenon(loss, quantity, f"< 0 ({source(figure)})", changes, high=-FALL, note=note),
        phenomenon(loss, f"{name}: change of the margin", "> 0, by the loss", margins, low=0.0, follows=True),
    ]
