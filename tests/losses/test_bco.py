"""BCO against double-precision formulas; its running mean step by step."""

import math
from dataclasses import replace

import pytest
import torch

import losses
from tests.losses.conftest import log_sigmoid, sigmoid


def examples(ratios: list[float], desirable: list[bool], step: int, state: dict | None) -> losses.ExampleBatch:
    count = torch.full((len(ratios),), 3)
    total = torch.tensor([ratio - 4.0 for ratio in ratios], dtype=torch.float64, requires_grad=True)
    reference = torch.full((len(ratios),), -4.0, dtype=torch.float64)
    return losses.ExampleBatch(
        losses.SequenceLogProbs(total=total, count=count),
        losses.SequenceLogProbs(total=reference, count=count),
        torch.tensor(desirable),
        step=step,
        state=state,
    )


def test_bco_pair_follows_its_formula(follows, point):
    follows("bco_pair", lambda p: -log_sigmoid(0.2 * p.a) - log_sigmoid(-0.2 * p.d), point, beta=0.2)


def test_bco_pair_starts_at_2_ln_2_with_half_of_beta_each_way(pair, gradients):
    batch = pair(-7.0, -9.0, -7.0, -9.0)
    assert losses.get("bco_pair").fn(batch).item() == pytest.approx(2 * math.log(2.0), rel=1e-6)
    assert gradients("bco_pair", batch, beta=0.2) == pytest.approx((-0.1, 0.1), rel=1e-6)


def test_bco_centres_rewards_on_the_mean_of_all_answers_so_far():
    state: dict = {}
    loss = losses.get("bco").fn
    seen: list[float] = []
    for step, (ratios, desirable) in enumerate([([2.0, -3.0], [True, False]), ([1.0, 5.0, 6.0], [False, True, True])]):
        seen += ratios
        delta = 0.2 * sum(seen) / len(seen)
        batch = examples(ratios, desirable, step, state)
        values = loss(batch, beta=0.2)
        signs = [1 if wanted else -1 for wanted in desirable]
        expected = [-log_sigmoid(s * (0.2 * g - delta)) for g, s in zip(ratios, signs, strict=True)]
        assert values.tolist() == pytest.approx(expected, rel=1e-9)
        values.sum().backward()
        slopes = [-0.2 * s * sigmoid(-s * (0.2 * g - delta)) for g, s in zip(ratios, signs, strict=True)]
        assert batch.policy.total.grad.tolist() == pytest.approx(slopes, rel=1e-9)
    assert state["bco_count"] == 5
    assert state["bco_sum"] == pytest.approx(0.2 * sum(seen))


def test_a_second_call_at_the_same_step_counts_nothing_twice():
    state: dict = {}
    batch = examples([2.0, -3.0], [True, False], 0, state)
    first = losses.get("bco").fn(batch)
    before = dict(state)
    assert torch.equal(losses.get("bco").fn(batch), first)
    assert state == before
    losses.get("bco").fn(replace(batch, step=1))
    assert state["bco_count"] == 4


def test_the_state_is_plain_numbers_that_a_checkpoint_can_hold():
    state: dict = {}
    losses.get("bco").fn(examples([2.0, -3.0], [True, False], 0, state))
    assert {type(value) for value in state.values()} <= {int, float}


def test_the_start_costs_ln_2():
    values = losses.get("bco").fn(examples([0.0, 0.0], [True, False], 0, {}))
    assert values.tolist() == pytest.approx([math.log(2.0)] * 2)


def test_a_common_rise_of_all_answers_changes_nothing():
    low = losses.get("bco").fn(examples([2.0, -3.0], [True, False], 0, {}))
    high = losses.get("bco").fn(examples([102.0, 97.0], [True, False], 0, {}))
    assert high.tolist() == pytest.approx(low.tolist(), rel=1e-9)


def test_a_batch_without_state_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"state is missing.*state=\{\}"):
        losses.get("bco").fn(examples([0.0], [True], 0, None))
