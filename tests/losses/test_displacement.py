"""DPO-Positive and DPO-Shift against double-precision formulas."""

import math
from dataclasses import replace

import pytest

import losses
from tests.losses.conftest import batch_of, log_sigmoid


def test_dpop_follows_its_formula(follows, point):
    if point.a == 0.0:
        pytest.skip("the penalty has a kink at a = 0; its slope there is in the next test")
    follows("dpop", lambda p: -log_sigmoid(0.2 * (p.h - 3.0 * max(0.0, -p.a))), point, beta=0.2, penalty_weight=3.0)


def test_dpop_starts_as_dpo_does(pair, gradients):
    assert losses.get("dpop").fn(pair(-7.0, -9.0, -7.0, -9.0)).item() == pytest.approx(math.log(2.0), rel=1e-6)
    assert gradients("dpop", pair(-7.0, -9.0, -7.0, -9.0)) == pytest.approx((-0.05, 0.05), rel=1e-6)


def test_dpop_fines_a_fall_of_the_chosen_answer_fiftyfold(pair, gradients):
    # a = -1, d = -3: h = 2; 2 - 50 * 1 = -48; weight sigmoid(4.8); slope on c = -beta * 51 * weight
    weight = 1 / (1 + math.exp(-4.8))
    chosen, rejected = gradients("dpop", pair(-8.0, -12.0, -7.0, -9.0))
    assert chosen == pytest.approx(-0.1 * 51 * weight, rel=1e-5)
    assert rejected == pytest.approx(0.1 * weight, rel=1e-5)


def test_dpop_leaves_a_risen_chosen_answer_to_dpo(pair):
    batch = pair(-6.0, -12.0, -7.0, -9.0)
    assert losses.get("dpop").fn(batch).item() == losses.get("dpo").fn(batch).item()


@pytest.mark.parametrize("factor", [0.5, 0.95])
def test_dpo_shift_follows_its_formula(follows, point, factor):
    follows("dpo_shift", lambda p: -log_sigmoid(0.2 * (p.a - factor * p.d)), point, beta=0.2, factor=factor)


def test_dpo_shift_pushes_by_the_factor_of_its_pull(pair, gradients):
    assert gradients("dpo_shift", pair(-7.0, -9.0, -7.0, -9.0), factor=0.6) == pytest.approx((-0.05, 0.03), rel=1e-6)


def test_dpo_shift_at_factor_1_is_dpo(pair):
    batch = pair(-3.5, -6.0, -4.0, -5.0)
    assert losses.get("dpo_shift").fn(batch, factor=1.0).item() == losses.get("dpo").fn(batch).item()


@pytest.mark.parametrize(("step", "factor"), [(0, 0.5), (3, 0.62), (10, 0.9)])
def test_the_linear_factor_moves_from_start_to_end(point, step, factor):
    batch = replace(batch_of(point), step=step, max_steps=10)
    value = losses.get("dpo_shift_linear").fn(batch, beta=0.2, start_factor=0.5, end_factor=0.9)
    assert value.item() == pytest.approx(-log_sigmoid(0.2 * (point.a - factor * point.d)), rel=1e-9)
    value.sum().backward()
    weight = 0.2 / (1 + math.exp(0.2 * (point.a - factor * point.d)))
    assert batch.chosen.total.grad.item() == pytest.approx(-weight, rel=1e-9)
    assert batch.rejected.total.grad.item() == pytest.approx(factor * weight, rel=1e-9)


def test_without_a_number_of_steps_the_factor_stays_at_its_start(pair):
    batch = pair(-3.5, -6.0, -4.0, -5.0)
    value = losses.get("dpo_shift_linear").fn(batch, start_factor=0.7, end_factor=1.0)
    assert value.item() == losses.get("dpo_shift").fn(batch, factor=0.7).item()
