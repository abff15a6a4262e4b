"""`archangel`: the figures of arXiv:2402.01306 recomputed from the counts of its 102 recorded runs.

Judge gpt-4-0613 against the chosen completion, 512 prompts (256 for the fractions of figure 6), one seed. Ties count as
losses there: win rate = wins / total.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.reproduce.frame import Check, Request, bound, number
from results.inference.test import holm
from results.literature.proportions import fisher_exact
from results.literature.tables import table

MODELS = ("pythia1-4b", "pythia2-8b", "pythia6-9b", "pythia12-0b", "llama7b", "llama13b", "llama30b")
LLAMA = ("llama7b", "llama13b", "llama30b")
Runs = Mapping[str, Mapping[str, float]]


def reproduce(request: Request) -> list[Check]:
    """Win rates and lengths of every loss, the fractions of figure 6, and the findings drawn from them."""
    runs, printed = table("archangel_runs"), table("archangel")
    return [*_rates(runs, printed), *_lengths(runs, printed), *_fractions(runs, printed), *_findings(runs)]


def win_rate(run: Mapping[str, float]) -> float:
    """Wins over all comparisons, ties counted as losses."""
    return run["wins"] / run["total"]


def _rates(runs: Runs, printed: Runs) -> list[Check]:
    """A line for each loss: the largest difference over the seven models."""
    return [
        _furthest(loss, "win_rate", {name: win_rate(runs[name]) for name in named}, printed, 5e-4)
        for loss, named in _by_loss(printed, "win_rate").items()
    ]


def _lengths(runs: Runs, printed: Runs) -> list[Check]:
    return [
        _furthest(loss, "mean_length", {name: runs[name]["mean_length"] for name in named}, printed, 0.5)
        for loss, named in _by_loss(printed, "mean_length").items()
    ]


def _by_loss(printed: Runs, quantity: str) -> dict[str, list[str]]:
    """Loss -> its runs that have the quantity, figure 6 apart."""
    found: dict[str, list[str]] = {}
    for name, values in printed.items():
        if quantity in values and not name.startswith("fracdata"):
            found.setdefault(name.rpartition("_")[0], []).append(name)
    return found


def _furthest(loss: str, quantity: str, ours: Mapping[str, float], printed: Runs, tolerance: float) -> Check:
    """The model on which ours is furthest from the printed figure."""
    worst = max(ours, key=lambda name: abs(ours[name] - printed[name][quantity]))
    model = worst.rpartition("_")[2]
    note = f"of {len(ours)} models the furthest: {model}"
    return number(loss, quantity, printed[worst][quantity], ours[worst], tolerance, note)


def _fractions(runs: Runs, printed: Runs) -> list[Check]:
    """Figure 6: KTO on a fraction of the desirable (FD) or undesirable (FU) completions."""
    return [
        number(name.removeprefix("fracdata_kto_llama7b_"), "win_rate", values["win_rate"], win_rate(runs[name]), 5e-4)
        for name, values in printed.items()
        if name.startswith("fracdata")
    ]


def _findings(runs: Runs) -> list[Check]:
    return [*_significance(runs), *_explosion(runs), *_halos(runs)]


def _significance(runs: Runs) -> list[Check]:
    """KTO alone against DPO alone on the three llamas, Holm over the three comparisons."""
    adjusted = holm([_p(runs, f"kto_{model}", f"dpo_{model}") for model in LLAMA])
    below = {"llama7b": True, "llama13b": False, "llama30b": True}
    return [
        bound(
            f"kto over dpo, {model}",
            "Holm p",
            "p < 0.01" if below[model] else "not significant",
            p,
            low=0.0 if below[model] else 0.05,
            high=0.01 if below[model] else 1.0,
            note="Fisher's exact test",
        )
        for model, p in zip(LLAMA, adjusted, strict=True)
    ]


def _explosion(runs: Runs) -> list[Check]:
    """Length without SFT: DPO's explodes; KTO's stays nearer to SFT's on llama, and explodes too on pythia."""
    pythia = tuple(model for model in MODELS if model not in LLAMA)
    said, to_sft = "KTO stays near SFT", _length_ratios(runs, "kto", "sft", LLAMA)
    near = f"{min(to_sft):.1f} to {max(to_sft):.1f} times SFT's"
    return [
        bound(
            "dpo without sft",
            "shortest length over SFT's",
            "DPO explodes",
            min(_length_ratios(runs, "dpo", "sft", MODELS)),
            low=5,
        ),
        bound(
            "kto without sft, llama",
            "longest length over DPO's",
            said,
            max(_length_ratios(runs, "kto", "dpo", LLAMA)),
            high=0.5,
            note=near,
        ),
        bound(
            "kto without sft, pythia",
            "shortest length over DPO's",
            said,
            min(_length_ratios(runs, "kto", "dpo", pythia)),
            low=0.9,
            erratum=True,
            note="holds for llama only: on pythia KTO's completions are as long as DPO's",
        ),
    ]


def _length_ratios(runs: Runs, loss: str, other: str, models: tuple[str, ...]) -> list[float]:
    return [runs[f"{loss}_{m}"]["mean_length"] / runs[f"{other}_{m}"]["mean_length"] for m in models]


def _halos(runs: Runs) -> list[Check]:
    """The gap between a human-aware loss and one that is not, significant from 13B on."""
    said = {"sft+slic_llama7b": (0.05, 1.0), "sft+slic_llama13b": (0.0, 0.05), "sft+csft_llama13b": (0.0, 0.05)}
    return [
        bound(
            f"sft+dpo over {other}",
            "Fisher p",
            "significant from 13B on",
            _p(runs, f"sft+dpo_{other.rpartition('_')[2]}", other),
            low=low,
            high=high,
        )
        for other, (low, high) in said.items()
    ]


def _p(runs: Runs, first: str, second: str) -> float:
    a, b = runs[first], runs[second]
    return fisher_exact(int(a["wins"]), int(a["total"]), int(b["wins"]), int(b["total"]))
