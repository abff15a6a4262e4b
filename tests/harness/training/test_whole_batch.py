"""Micro-batches joined into one batch and a gradient cut into them again, by hand."""

from __future__ import annotations

import torch

from harness.model.logprobs import Scored
from harness.training.whole_batch import Seen, cut, join

# One completion and its prompt; two completions and their prompt: 2 and 3 positions wide.
ONE = Seen(
    torch.tensor([[-1.0, -2.0], [-9.0, 0.0]]),
    {"entropy": torch.tensor([[0.1, 0.2], [0.9, 0.0]])},
    torch.tensor([[True, True], [True, False]]),
    completions=1,
)
TWO = Seen(
    torch.tensor([[-3.0, -4.0, -5.0], [-6.0, 0.0, 0.0], [-7.0, -8.0, 0.0]]),
    {"entropy": torch.tensor([[0.3, 0.4, 0.5], [0.6, 0.0, 0.0], [0.7, 0.8, 0.0]])},
    torch.tensor([[True, True, True], [True, False, False], [True, True, False]]),
    completions=2,
)


def test_every_completion_stands_before_every_prompt_padded_to_the_widest():
    batch = join([ONE, TWO])
    assert batch.completions == 3
    assert batch.logps.tolist() == [[-1, -2, 0], [-3, -4, -5], [-6, 0, 0], [-9, 0, 0], [-7, -8, 0]]
    torch.testing.assert_close(batch.stats["entropy"], -batch.logps / 10)
    assert batch.mask.dtype == torch.bool
    assert batch.mask.int().tolist() == [[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 0, 0], [1, 1, 0]]


def test_a_gradient_is_cut_as_the_batch_was_joined():
    gradient = torch.arange(15.0).view(5, 3)
    one, two = cut(gradient, [ONE, TWO])
    assert one.tolist() == [[0, 1], [9, 10]]
    assert two.tolist() == [[3, 4, 5], [6, 7, 8], [12, 13, 14]]


def test_what_was_joined_is_cut_to_what_it_was():
    parts = [TWO, ONE, TWO]
    for piece, part in zip(cut(join(parts).logps, parts), parts, strict=True):
        assert torch.equal(piece, part.logps)


def test_without_prompts_the_order_is_that_of_the_rows():
    completions = [Seen.of(Scored(torch.tensor([[-1.0], [-2.0]]), {}), torch.ones(2, 1, dtype=torch.bool), 2)] * 2
    assert join(completions).logps.flatten().tolist() == [-1, -2, -1, -2] and join(completions).stats == {}
