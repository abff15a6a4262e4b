"""Unlikelihood token by token in plain Python, down to tokens of probability one."""

import math

import pytest
import torch

import losses


def side(tokens: list[float], leaf: bool = True, dtype=torch.float64) -> losses.SequenceLogProbs:
    pad = 5 - len(tokens)
    values = torch.tensor([tokens + [0.0] * pad], dtype=dtype, requires_grad=leaf)
    return losses.SequenceLogProbs.from_tokens(values, torch.tensor([[True] * len(tokens) + [False] * pad]))


CHOSEN, REJECTED = [-0.5, -2.0, -1.0], [-4.0, -0.01, -0.7, -1.5]


def formula(chosen: list[float], rejected: list[float], beta: float) -> float:
    return -sum(chosen) / len(chosen) - beta * sum(math.log(-math.expm1(q)) for q in rejected) / len(rejected)


def test_value_and_gradient_follow_the_formula_token_by_token():
    batch = losses.PairBatch(side(CHOSEN), side(REJECTED))
    value = losses.get("unlikelihood").fn(batch, beta=0.7)
    assert value.item() == pytest.approx(formula(CHOSEN, REJECTED, 0.7), rel=1e-9)
    value.sum().backward()
    assert batch.chosen.tokens.grad[0].tolist() == pytest.approx([-1 / 3] * 3 + [0.0] * 2, rel=1e-9)
    slopes = [0.7 / 4 * math.exp(q) / (1 - math.exp(q)) for q in REJECTED]  # d -log(1 - e^q) / dq = p/(1 - p)
    assert batch.rejected.tokens.grad[0].tolist() == pytest.approx([*slopes, 0.0], rel=1e-6)


def test_an_even_chance_costs_ln_2():
    batch = losses.PairBatch(side([0.0]), side([math.log(0.5)] * 3))
    assert losses.get("unlikelihood").fn(batch).item() == pytest.approx(math.log(2.0), rel=1e-9)


def test_an_unlikely_rejected_answer_costs_and_moves_nothing():
    batch = losses.PairBatch(side([-1.0]), side([-2000.0, -50.0]))
    value = losses.get("unlikelihood").fn(batch)
    value.sum().backward()
    assert value.item() == pytest.approx(1.0)
    assert batch.rejected.tokens.grad.abs().max() < 1e-20


@pytest.mark.parametrize("q", [0.0, -1e-8, -1e-3])
def test_a_certain_rejected_token_has_finite_value_and_gradient(q):
    batch = losses.PairBatch(side([-1.0], dtype=torch.float32), side([q, -1.0], dtype=torch.float32))
    value = losses.get("unlikelihood").fn(batch)
    value.sum().backward()
    assert value.isfinite().all()
    assert batch.rejected.tokens.grad.isfinite().all()
    if q < 0:
        q = torch.tensor(q).item()
        assert value.item() == pytest.approx(formula([-1.0], [q, -1.0], 1.0), rel=1e-5)


def test_a_batch_without_tokens_is_refused_with_the_way_out(pair):
    way_out = "makes the trainer keep them; by hand, build the batch with SequenceLogProbs.from_tokens"
    with pytest.raises(ValueError, match=rf'tokens is missing.*needs=\{{"tokens"\}} {way_out}'):
        losses.get("unlikelihood").fn(pair(-1.0, -2.0))
