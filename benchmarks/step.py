"""The parts `step` and `lora`: a training pair of DPO, ours beside TRL's fastest settings and its defaults."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from benchmarks.settings import Settings
from benchmarks.table import compared, failures, machine_line, number
from benchmarks.turns import Found, Say, in_turns, measured, typical

OURS, FASTEST, DEFAULTS = "ours", "trl fastest", "trl defaults"
# Before the first update policy and reference are equal, but measured in other micro-batches: bf16 moves a
# sequence by about a quarter of a nat, and beta is 0.1.
LN2_TOLERANCE = 0.05
# The mean log-prob of a batch's chosen completions, relative: wrong ids, masks or weights are off by far more.
LOGP_TOLERANCE = 0.01


def words_of(settings: Settings, *more: str) -> list[str]:
    """The harness's options of a training run: DPO, as many pairs as the steps need, nothing from the store."""
    size = next(int(word.partition("=")[2]) for word in settings.words if word.startswith("batch_size="))
    return [
        *settings.words,
        "losses=dpo",
        "dpo.beta=0.1",
        "lrs=1e-6",
        "controls=false",
        "store=false",
        f"train_pairs={size * settings.steps}",
        "eval_pairs=8",
        *more,
    ]


def measure(settings: Settings, say: Say, *, tuning: str = "full") -> list[dict[str, Found]]:
    """All three sides in turns."""
    spec = {"words": words_of(settings, f"tuning={tuning}"), "micro": settings.trl_micro}
    sides = {name: lambda name=name: measured(spec | {"side": name}) for name in (OURS, FASTEST, DEFAULTS)}
    return in_turns(sides, settings.turns, say)


def measure_lora(settings: Settings, say: Say) -> list[dict[str, Found]]:
    """The same with a LoRA adapter of the harness's rank and scale on all linear maps, on every side."""
    return measure(settings, say, tuning="lora")


def lines(turns: Sequence[dict[str, Found]], settings: Settings) -> list[str]:
    """The table, then what was checked."""

    def reference(name: str) -> str:
        spent = [turn[name] for turn in turns if turn[name].get("reference_seconds") is not None]
        pairs = [sum(step["pairs"] for step in one["steps"]) for one in spent]
        return number(min((one["reference_seconds"] / n for one, n in zip(spent, pairs, strict=True)), default=None))

    def layout(name: str) -> str:
        return next((turn[name]["layout"] for turn in turns if "layout" in turn[name]), "-")

    every = [found for turn in turns for found in turn.values()]
    size = typical(turns, OURS, "tokens")
    return [
        machine_line(every),
        f"{settings.turns} turns of {settings.steps - 1} timed steps; {number(size)} tokens a pair, its prompt once; "
        "medians, ratios of the same step in the same turn (extremes in brackets)",
        "",
        *compared(turns, OURS, (FASTEST, DEFAULTS), **{"reference s a pair": reference, "rows": layout}),
        "",
        "The reference pass of `trl defaults` is inside its step; that of the others comes once before it and is not.",
        *failures(turns),
        *checks(turns),
    ]


def checks(turns: Sequence[dict[str, Found]]) -> Iterator[str]:
    """Sentences on whether the sides did the same work, each beginning with `check`."""
    found = [(name, one) for turn in turns for name, one in turn.items() if "steps" in one]
    ids = {tuple((step["digest"], step["tokens"]) for step in one["steps"]) for _, one in found}
    tokens = sum(step["tokens"] for step in found[0][1]["steps"]) if found else 0
    yield f"check {_verdict(len(ids) == 1)}: every side trained on the same {tokens} token ids, batch by batch"
    off = max((abs(one["loss"] - math.log(2)) for _, one in found), default=math.nan)
    yield f"check {_verdict(off <= LN2_TOLERANCE)}: the first step's loss is ln 2 to {off:.1g}"
    logps = [one["chosen_logp"] for _, one in found]
    spread = (max(logps) - min(logps)) / abs(logps[0]) if logps else math.nan
    yield (
        f"check {_verdict(spread <= LOGP_TOLERANCE)}: log-probs of the first batch's chosen completions agree "
        f"to {spread:.1g} of their size"
    )


def _verdict(holds: bool) -> str:
    return "passed" if holds else "FAILED"
