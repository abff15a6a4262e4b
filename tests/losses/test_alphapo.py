"""AlphaPO against a double-precision formula."""

import math

import pytest

import losses
from tests.losses.conftest import log_sigmoid


@pytest.mark.parametrize("alpha", [0.25, 1.0, -0.5])
def test_it_follows_its_formula(follows, point, alpha):
    def reward(mean):
        return (1 - math.exp(mean) ** -alpha) / alpha

    def formula(p):
        return -log_sigmoid(2.0 * (reward(p.cbar) - reward(p.rbar)) - 0.3 * 2.0)

    follows("alphapo", formula, point, beta=2.0, gamma_beta_ratio=0.3, alpha=alpha)


def test_it_becomes_simpo_as_alpha_goes_to_0(pair):
    batch = pair(-4.0, -6.0, nc=4, nr=5)
    settings = {"beta": 2.0, "gamma_beta_ratio": 0.5}
    target = losses.get("simpo").fn(batch, **settings).item()
    assert losses.get("alphapo").fn(batch, alpha=0.0, **settings).item() == target
    assert losses.get("alphapo").fn(batch, alpha=0.01, **settings).item() == pytest.approx(target, rel=0.01)


def test_the_default_margin_is_a_tenth(pair):
    on_target = pair(-1.0, -1.0)
    expected = -log_sigmoid(-0.1)
    assert losses.get("alphapo").fn(on_target).item() == pytest.approx(expected, rel=1e-5)


def test_a_very_unlikely_answer_has_a_finite_cost_that_still_grows(pair, gradients):
    far, farther = pair(-200.0, -1.0), pair(-2000.0, -1.0)
    assert math.inf > losses.get("alphapo").fn(farther) > losses.get("alphapo").fn(far)
    assert gradients("alphapo", farther)[0] == pytest.approx(-2.5 * math.exp(30.0), rel=1e-4)
