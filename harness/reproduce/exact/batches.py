"""Log-probs written by hand as the batches that a registered loss takes, in double precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

import losses

TOKENS = (7, 10)  # scored tokens of the chosen and of the rejected completion, so that sums and means differ


class Values(NamedTuple):
    """A loss on one pair, and its gradient with respect to the summed log-probs of the two completions."""

    loss: float
    chosen_gradient: float
    rejected_gradient: float


def sequence(total: Tensor, count: int | Tensor = 1) -> losses.SequenceLogProbs:
    """Summed log-probs [N] nats of completions with `count` scored tokens each."""
    counts = torch.full(total.shape, count) if isinstance(count, int) else count
    return losses.SequenceLogProbs(total=total, count=counts)


def on_pair(
    name: str,
    policy: tuple[float, float],
    reference: tuple[float, float] = (0.0, 0.0),
    tokens: tuple[int, int] = TOKENS,
    **hyperparameters: float,
) -> Values:
    """The registered loss on one pair, given by its summed log-probs (chosen, rejected) in nats."""
    chosen, rejected = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in policy)
    ref_chosen, ref_rejected = (torch.tensor([value], dtype=torch.float64) for value in reference)
    batch = losses.PairBatch(
        sequence(chosen, tokens[0]),
        sequence(rejected, tokens[1]),
        sequence(ref_chosen, tokens[0]),
        sequence(ref_rejected, tokens[1]),
    )
    value = losses.get(name).fn(batch, **hyperparameters).sum()
    gradients = torch.autograd.grad(value, [chosen, rejected])
    return Values(value.item(), *(gradient.item() for gradient in gradients))


def on_example(
    name: str, log_ratio: float, *, is_desirable: bool, kl: float, tokens: int = TOKENS[0], **hyperparameters: float
) -> float:
    """The registered pointwise loss on one rated completion with this summed log-ratio and KL estimate z (nats)."""
    policy = torch.tensor([log_ratio - 20.0], dtype=torch.float64)
    batch = losses.ExampleBatch(
        sequence(policy, tokens),
        sequence(torch.full_like(policy, -20.0), tokens),
        desirable=torch.tensor([is_desirable]),
        kl=torch.tensor(kl, dtype=torch.float64),
    )
    return losses.get(name).fn(batch, **hyperparameters).sum().item()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread inside: threads that wait for each other cost tensors of some hundred numbers most."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def function(name: str) -> Callable[..., Tensor]:
    """The function of a registered loss; its beta may be a tensor [N], one value an example."""
    return losses.get(name).fn
