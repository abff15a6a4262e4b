"""WPO token by token in plain Python."""

import math

import pytest
import torch

import losses
from tests.losses.conftest import log_sigmoid


def side(tokens: list[float], log_sum_p2: list[float] | None, leaf: bool = True) -> losses.SequenceLogProbs:
    pad = 4 - len(tokens)
    values = torch.tensor([tokens + [5.0] * pad], dtype=torch.float64, requires_grad=leaf)
    mask = torch.tensor([[True] * len(tokens) + [False] * pad])
    stats = None
    if log_sum_p2 is not None:
        stats = {"log_sum_p2": torch.tensor([log_sum_p2 + [7.0] * pad], dtype=torch.float64)}
    return losses.SequenceLogProbs.from_tokens(values, mask, stats)


def weighted_pair(chosen_p2=(-1.0, -0.5, -2.0), rejected_p2=(-1.5, -3.0)) -> losses.PairBatch:
    return losses.PairBatch(
        side([-0.5, -2.0, -1.0], list(chosen_p2)),
        side([-4.0, -0.5], list(rejected_p2)),
        side([-1.0, -1.5, -2.5], None, False),
        side([-3.0, -1.5], None, False),
    )


def test_value_and_gradient_are_dpos_times_the_weights_of_both_answers():
    batch = weighted_pair()
    value = losses.get("wpo").fn(batch, beta=0.2)
    # means of l - log S: (0.5 - 1.5 + 1.0)/3 = 0 and (-2.5 + 2.5)/2 = 0 give weight 1; so shift one of them
    assert value.item() == pytest.approx(-log_sigmoid(0.2 * (1.5 - 0.0)), rel=1e-9)
    shifted = weighted_pair(chosen_p2=(-1.0, -0.5, -0.5), rejected_p2=(-1.5, -2.0))
    weight = math.exp((0.5 - 1.5 - 0.5) / 3) * math.exp((-2.5 + 1.5) / 2)
    value = losses.get("wpo").fn(shifted, beta=0.2)
    assert value.item() == pytest.approx(-weight * log_sigmoid(0.3), rel=1e-9)
    value.sum().backward()
    slope = 0.2 * weight / (1 + math.exp(0.3))  # none of it through the weights
    assert shifted.chosen.tokens.grad[0].tolist() == pytest.approx([-slope] * 3 + [0.0], rel=1e-9)
    assert shifted.rejected.tokens.grad[0].tolist() == pytest.approx([slope] * 2 + [0.0] * 2, rel=1e-9)


def test_a_policy_that_is_uniform_over_its_vocabulary_weighs_every_pair_1():
    # over 50 words each token has log-prob -log 50, and 50 * (1/50)^2 = 1/50 is the sum of squares
    uniform = -math.log(50.0)
    batch = losses.PairBatch(
        side([uniform] * 3, [uniform] * 3),
        side([uniform] * 2, [uniform] * 2),
        side([-1.0, -2.0, -3.0], None, False),
        side([-3.0, -1.5], None, False),
    )
    assert losses.get("wpo").fn(batch).item() == pytest.approx(losses.get("dpo").fn(batch, beta=0.01).item(), rel=1e-9)


def test_an_unlikely_answer_counts_less():
    likely, unlikely = weighted_pair(), weighted_pair(rejected_p2=(0.0, 0.0))
    ratio = losses.get("wpo").fn(unlikely).item() / losses.get("wpo").fn(likely).item()
    assert ratio == pytest.approx(math.exp(-4.5 / 2), rel=1e-9)


def test_a_batch_without_the_statistic_is_refused_with_the_way_out(pair):
    with pytest.raises(ValueError, match=r'log_sum_p2; needs=\{"tokens", "stats:log_sum_p2"\}'):
        losses.get("wpo").fn(pair(-1.0, -2.0, -1.0, -2.0))
