"""Controlled sentiment, trained once for all recipes that read it: small cells of one protocol, kept under one `out`.

The task of arXiv:2305.18290, section 6.1: the model continues openings of film reviews, a classifier that stands for
the truth labels its completions. Recipes ask for the losses, betas and rates that they need; a cell that two of them
need is trained once. Rates are multiples of the model's own, of which `RATE` is the one that moves it within so few
steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.reproduce.frame import Request
from harness.reproduce.phenomena.sweeps import Measured, learning_rate, measure

SEEDS = (0, 1, 2)
PAIRS, BATCH, HELD_OUT = 80, 8, 40
RATE = 3.0  # times the model's learning rate


def train(request: Request, argv: Sequence[str], *, pairs: int | None = None, completions: bool = True) -> Measured:
    """Cells of the shared protocol: `argv` names losses, betas and rates. completions: the cells also write some."""
    return measure([*shared_argv(request, pairs, completions), *argv], request.progress)


def shared_argv(request: Request, pairs: int | None = None, completions: bool = True) -> list[str]:
    """What all cells share, as argv of a command."""
    seeds = ",".join(map(str, request.seeds or SEEDS))
    return [
        "suite=imdb-sentiment",
        f"seeds={seeds}",
        f"train_pairs={pairs or PAIRS}",
        f"batch_size={BATCH}",
        f"eval_pairs={HELD_OUT}",
        f"generate={HELD_OUT if completions else 0}",
        "controls=false",
        f"out={request.out / 'sentiment'}",
        *model_argv(request),
    ]


def model_argv(request: Request) -> list[str]:
    """The model; the packaged one is given no longer rows than short prompts and completions need."""
    return [f"model={request.model}"] if request.model else ["max_tokens=128"]


def rate(request: Request, times: float = 1.0) -> float:
    """The learning rate of these cells, times a factor."""
    return learning_rate(request, times * RATE)
