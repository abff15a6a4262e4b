"""The supervised control against hand arithmetic."""

import pytest
import torch

import losses


def test_it_is_the_mean_negative_log_prob_of_the_chosen_answer(pair, gradients):
    batch = pair(-6.0, -1.0, nc=4, nr=9)
    assert losses.get("sft").fn(batch).item() == 1.5
    assert gradients("sft", batch) == (-0.25, 0.0)


def test_every_sequence_counts_the_same_however_long():
    side = losses.SequenceLogProbs(total=torch.tensor([-1.0, -30.0]), count=torch.tensor([1, 10]))
    values = losses.get("sft").fn(losses.PairBatch(chosen=side, rejected=side))
    # means 1 and 3, so 2; the mean over all 11 tokens would be 31 / 11
    assert values.mean().item() == pytest.approx(2.0)
