"""A policy without text: softmax of one logit an action, trained with a registered pairwise loss.

Many runs are trained side by side: R runs, each with its own logits [A], reference [A], beta and data set (pairs
of actions). Adam works element by element, so no run touches another. A completion is one action, so its log-prob is
sum and mean at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import losses
from harness.reproduce.exact.batches import function, sequence

LEARNING_RATE = 0.01
CHUNK = 500  # steps whose mini-batches are drawn at once


@dataclass(frozen=True)
class Bandit:
    """One run: pairs (preferred action, other action), beta, the reference's probabilities [A]."""

    pairs: tuple[tuple[int, int], ...]
    beta: float
    reference: tuple[float, ...]
    seed: int = 0


def full_batch(bandits: Sequence[Bandit], steps: int) -> Iterator[Tensor]:
    """The whole data set of each run at every step, [R, P, 2]; shorter sets repeat, so each pair weighs the same."""
    size = math.lcm(*(len(bandit.pairs) for bandit in bandits))
    whole = torch.tensor([bandit.pairs * (size // len(bandit.pairs)) for bandit in bandits])
    for _ in range(steps):
        yield whole


def mini_batches(bandits: Sequence[Bandit], steps: int, size: int) -> Iterator[Tensor]:
    """`size` pairs drawn with replacement for each run and step, [R, size, 2]; runs of one seed share the draws."""
    counts = torch.tensor([len(bandit.pairs) for bandit in bandits])
    longest = int(counts.max())
    table = torch.tensor([(bandit.pairs * longest)[:longest] for bandit in bandits])
    seeds = sorted({bandit.seed for bandit in bandits})
    place = torch.tensor([seeds.index(bandit.seed) for bandit in bandits])
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    runs = torch.arange(len(bandits))[:, None]
    for start in range(0, steps, CHUNK):
        length = min(CHUNK, steps - start)
        draws = torch.stack([torch.rand(length, size, generator=one, dtype=torch.float64) for one in generators], 1)
        for draw in draws:  # [seeds, size], uniform in [0, 1)
            yield table[runs, (draw[place] * counts[:, None]).long()]


def train(loss: str, bandits: Sequence[Bandit], batches: Iterable[Tensor]) -> Tensor:
    """Probabilities [R, A] of the actions after one Adam step (optax and torch defaults) for each batch [R, P, 2]."""
    reference = torch.tensor([bandit.reference for bandit in bandits], dtype=torch.float64).log()
    logits = reference.clone().requires_grad_()
    beta = torch.tensor([bandit.beta for bandit in bandits], dtype=torch.float64)
    optimizer = torch.optim.Adam([logits], lr=LEARNING_RATE)
    value = function(loss)
    for index in batches:
        sides = [_of_actions(log_probs, index) for log_probs in (logits.log_softmax(-1), reference)]
        betas = beta[:, None].expand(index.shape[:2]).reshape(-1)
        optimizer.zero_grad()
        # A mean over each run's batch, a sum over runs: every run gets the gradient that it would get alone.
        (value(losses.PairBatch(*sides[0], *sides[1]), beta=betas).sum() / index.shape[1]).backward()
        optimizer.step()
    return logits.detach().softmax(-1)


def _of_actions(log_probs: Tensor, index: Tensor) -> tuple[losses.SequenceLogProbs, losses.SequenceLogProbs]:
    """Log-probs [R, A] of the preferred and of the other actions [R, P, 2], as batches of R * P completions."""
    picked = log_probs.gather(1, index.flatten(1)).view(index.shape)
    return sequence(picked[..., 0].reshape(-1)), sequence(picked[..., 1].reshape(-1))
