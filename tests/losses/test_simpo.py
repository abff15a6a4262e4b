"""SimPO against hand arithmetic."""

import math

import pytest

import losses


def test_the_worked_example_costs_1_241(pair, gradients):
    # means -1.0 and -1.2; beta 2.5 and gamma 1.4 = 0.56 * 2.5: argument 0.5 - 1.4 = -0.9
    batch = pair(-4.0, -6.0, nc=4, nr=5)
    value = losses.get("simpo").fn(batch, beta=2.5, gamma_beta_ratio=0.56)
    assert value.item() == pytest.approx(1.241, abs=5e-4)
    weight = 2.5 / (1.0 + math.exp(-0.9))
    expected = (-weight / 4, weight / 5)
    assert gradients("simpo", batch, beta=2.5, gamma_beta_ratio=0.56) == pytest.approx(expected, rel=1e-5)


def test_the_defaults_ask_for_a_margin_of_half_a_nat_a_token(pair):
    on_target = pair(-4.0, -7.5, nc=4, nr=5)  # means -1.0 and -1.5
    assert losses.get("simpo").fn(on_target).item() == pytest.approx(math.log(2.0), rel=1e-6)


def test_the_margin_is_relative_to_beta(pair):
    on_target = pair(-1.0, -1.3)
    for beta in (1.0, 2.5, 10.0):
        value = losses.get("simpo").fn(on_target, beta=beta, gamma_beta_ratio=0.3).item()
        assert value == pytest.approx(math.log(2.0), rel=1e-5)


def test_an_answer_repeated_twice_scores_as_the_answer_itself(pair):
    once, twice = pair(-4.0, -6.0, nc=4, nr=5), pair(-8.0, -6.0, nc=8, nr=5)
    assert losses.get("simpo").fn(once).item() == pytest.approx(losses.get("simpo").fn(twice).item())


def test_the_reference_is_not_read(pair):
    assert losses.get("simpo").fn(pair(-4.0, -6.0)) == losses.get("simpo").fn(pair(-4.0, -6.0, -1.0, -9.0))
