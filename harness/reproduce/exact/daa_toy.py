"""`daa-toy`: the toy of arXiv:2502.01237, appendix F: do pointwise losses unlearn what a prompt gives both completions?

A prompt is x in (0, 1), a completion a score s; the two scores of a prompt are centred, and half of the prompts (x <
1/2) add a bias to both. The better completion has the larger s. A small network of (x, s) plays the log-ratio. A loss
of pairs never sees the bias; a loss of single completions must bring chosen ones above 0 and rejected ones below, so it
learns to take the bias back. ICC1, the share of the variance of scores that lies between prompts, tells them apart.

Optimiser and batch size are not in the paper, so the finding is the order, not the values. Adam, batches of 200.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

import losses
from harness.reproduce.exact.batches import function, one_thread, sequence
from harness.reproduce.frame import Check, Request, bound
from results.literature.tables import table

PROMPTS, TRAINED, BATCH, EPOCHS = 2000, 1600, 200, 100
SEEDS, HIDDEN, LEARNING_RATE, BETA = 16, 3, 0.03, 1.0
BIASES = (0.9, 0.0)
PAIRWISE, POINTWISE = ("dpo", "ipo_sum"), ("nca_pair", "kto")


class Toy(NamedTuple):
    """What S seeds drew: x and s of chosen and rejected completions, [S, PROMPTS, 2 sides, 2 features]."""

    completions: Tensor


def reproduce(request: Request) -> list[Check]:
    """ICC1 of each loss with the bias and without, and how far apart the two families are."""
    found: dict[tuple[str, float], float] = {}
    with request.progress.stage("toy", len(BIASES) * len(PAIRWISE + POINTWISE)) as stage, one_thread():
        for bias in BIASES:
            for loss in PAIRWISE + POINTWISE:
                found[loss, bias] = _mean(icc1(_scores(_train(loss, draw(bias)), draw(bias).completions[:, TRAINED:])))
                stage.advance()
    printed = table("daa_toy")
    checks = [
        bound(
            loss,
            f"ICC1, bias {BIASES[0]}",
            f"{printed[loss]['icc1']:g}",
            found[loss, BIASES[0]],
            **({"low": 0.4} if loss in PAIRWISE else {"high": 0.2}),
            note="order only: the optimiser is not stated",
        )
        for loss in PAIRWISE + POINTWISE
    ]
    for bias, limits in zip(BIASES, ({"low": 0.3}, {"low": -0.3, "high": 0.3}), strict=True):
        gap = min(found[loss, bias] for loss in PAIRWISE) - max(found[loss, bias] for loss in POINTWISE)
        said = "pairwise far above pointwise" if bias else "no difference"
        checks.append(bound("pairwise less pointwise", f"ICC1, bias {bias:g}", said, gap, **limits))
    return checks


def draw(bias: float) -> Toy:
    """The data of every seed, chosen completions first."""
    generator = torch.Generator().manual_seed(0)
    x, first, second = torch.rand(3, SEEDS, PROMPTS, generator=generator, dtype=torch.float64)
    centre = (first + second) / 2
    shift = bias * (x < 0.5) - centre
    ordered = (torch.maximum(first, second), torch.minimum(first, second))
    return Toy(torch.stack([torch.stack([x, score + shift], -1) for score in ordered], 2))


def icc1(scores: Tensor) -> Tensor:
    """[S] one-way intraclass correlation of scores [S, prompts, 2]: (MSB - MSW) / (MSB + MSW) for two a prompt.

    Source: Shrout and Fleiss 1979, ICC(1,1).
    """
    between = 2 * scores.mean(-1).var(-1)
    within = ((scores[..., 0] - scores[..., 1]) ** 2 / 2).mean(-1)
    return (between - within) / (between + within)


def _train(loss: str, toy: Toy) -> list[Tensor]:
    """The weights of one network a seed, after all epochs."""
    generator = torch.Generator().manual_seed(1)
    shapes = {(SEEDS, 2, HIDDEN): 2, (SEEDS, 1, HIDDEN): 2, (SEEDS, HIDDEN, 1): HIDDEN, (SEEDS, 1, 1): HIDDEN}
    weights = [
        ((2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1) / math.sqrt(fan_in)).requires_grad_()
        for shape, fan_in in shapes.items()
    ]
    optimizer = torch.optim.Adam(weights, lr=LEARNING_RATE)
    for _ in range(EPOCHS):
        order = torch.randperm(TRAINED, generator=generator).split(BATCH)
        for rows in order:
            scores = _scores(weights, toy.completions[:, rows])
            optimizer.zero_grad()
            (_values(loss, scores).sum() / BATCH).backward()
            optimizer.step()
    return [weight.detach() for weight in weights]


def _scores(weights: list[Tensor], completions: Tensor) -> Tensor:
    """Scores [S, rows, 2] of completions [S, rows, 2, 2]: one hidden layer of ReLUs."""
    first, first_bias, second, second_bias = weights
    hidden = torch.relu(completions.flatten(1, 2) @ first + first_bias)
    return (hidden @ second + second_bias).view(completions.shape[:3])


def _values(loss: str, scores: Tensor) -> Tensor:
    """The registered loss with scores [S, rows, 2] as log-ratios; KTO with a KL estimate z of 0."""
    chosen, rejected = (scores[..., side].reshape(-1) for side in (0, 1))
    zero = torch.zeros_like(chosen)
    if losses.get(loss).kind == "pairwise":
        batch = losses.PairBatch(sequence(chosen), sequence(rejected), sequence(zero), sequence(zero))
        return function(loss)(batch, beta=BETA)
    both = torch.cat([chosen, rejected])
    desirable = torch.arange(len(both)) < len(chosen)
    examples = losses.ExampleBatch(sequence(both), sequence(torch.cat([zero, zero])), desirable, kl=zero[0])
    return function(loss)(examples, beta=BETA)


def _mean(values: Tensor) -> float:
    """The mean over seeds, without networks whose units have all died (their scores do not vary)."""
    return values.nanmean().item()
