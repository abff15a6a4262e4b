"""What can be reproduced: a card for each recipe. Nothing heavy is imported before a recipe runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from harness.reproduce.frame import Check, Request
from harness.reproduce.hub.recipe import NAMES as HUB_NAMES

GROUPS = {
    1: "exact, anywhere",
    2: "exact, from a file of yours",
    3: "the phenomenon, on a CPU",
    4: "needs a GPU and the hub",
}


@dataclass(frozen=True)
class Recipe:
    """One reproduction: what it shows, where that was published, what it needs, and how long it takes.

    run: Request -> checks. time: of two CPU cores, or an estimate in hours of one H100. takes_rows: some rows can be
    asked for; not where all are read from the same trained cells.
    """

    name: str
    group: int
    what: str
    paper: str
    needs: str
    time: str
    run: Callable[[Request], list[Check]]
    takes_rows: bool = True


def _module(folder: str, name: str) -> Callable[[Request], list[Check]]:
    """The `reproduce` of a module of a wing of this package, imported when it is called."""

    def run(request: Request) -> list[Check]:
        return importlib.import_module(f"harness.reproduce.{folder}.{name}").reproduce(request)

    return run


def _exact(name: str, what: str, paper: str, time: str = "seconds") -> Recipe:
    return Recipe(name, 1, what, paper, "nothing", time, _module("exact", name.replace("-", "_")))


def _measured(name: str, what: str, paper: str, minutes: int, takes_rows: bool = False) -> Recipe:
    paper = f"arXiv:{paper}" if paper else "tutorials"
    run = _module("phenomena", name.replace("-", "_"))
    return Recipe(name, 3, what, paper, "packaged model", f"{minutes} min", run, takes_rows)


@cache
def recipes() -> dict[str, Recipe]:
    """Name -> recipe, group by group."""
    exact = [
        _exact("kto-table1", "win rates and their intervals from the recorded counts", "arXiv:2402.01306 table 1"),
        _exact("archangel", "win rates, lengths and findings over 102 runs", "arXiv:2402.01306 fig. 3-6"),
        _exact("ipo-bandit", "ipo and dpo on three actions, no text", "arXiv:2310.12036 fig. 1, 2", "1 min"),
        _exact("dpo-walkthrough", "one pair worked by hand", "arXiv:2305.18290 eq. 7"),
        _exact("loss-goldens", "worked values of nine losses", "the losses' papers"),
        _exact("daa-blur-stats", "pairwise over pointwise, permutation test", "arXiv:2502.01237 table 2"),
        _exact("daa-toy", "pointwise losses unlearn what a prompt shares", "arXiv:2502.01237 app. F", "15 s"),
        _exact("oxrl-stats", "tests of a table tuned unfairly", "arXiv:2603.19335"),
        _exact("displacement-theory", "when a chosen completion becomes less likely", "arXiv:2410.08847 theorems"),
        _exact("beta-against-lr", "halving beta is not doubling lr, by exponents", "tutorials"),
    ]
    given = Recipe(
        "alpacaeval",
        2,
        "the leaderboard's figures from published annotations",
        "AlpacaEval 2",
        "path=FILE or DIR",
        "seconds",
        _module("exact", "alpacaeval"),
    )
    measured = [
        _measured(
            "likelihood-displacement",
            "No over Never, Yes over No: the chosen completion falls",
            "2410.08847 table 1",
            6,
            takes_rows=True,
        ),
        _measured("reward-against-kl", "dpo's frontier over sft, unlikelihood and best-of-n", "2305.18290 fig. 2", 10),
        _measured("ipo-saturation", "ipo's margin stops at 1/(2 beta), dpo's grows", "2310.12036 sec. 5", 5),
        _measured("chosen-logp", "chosen completions fall under dpo and not under orpo", "2403.07691", 2),
        _measured("lr-cliff", "ten times the learning rate: worse and poorer completions", "2603.19335", 1),
        _measured("folk-rules", "beta against lr, beta of 1, many epochs", "", 6),
        _measured("label-noise", "accuracy lost to wrong labels, loss by loss", "2403.00409", 6),
        _measured("length-exploitation", "dpo prefers length where the data do; its cures", "2403.19159", 6),
    ]
    return {recipe.name: recipe for recipe in (*exact, given, *measured, *map(_hub, HUB_NAMES))}


def _hub(name: str) -> Recipe:
    """The card of a recipe that is data."""
    from harness.reproduce.hub.recipe import read_recipe, run_recipe

    data = read_recipe(name)
    needs, hours = f"hub, {data.gpu_memory_gib:.0f} GiB GPU", max(1, round(data.gpu_hours))
    return Recipe(name, 4, data.what, data.paper, needs, f"{hours} GPU h", lambda request: run_recipe(data, request))
