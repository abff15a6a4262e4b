"""DiscoPOP against a double-precision formula, where exp(-x) overflows and where its slope turns."""

import math

import pytest

import losses
from tests.losses.conftest import log_sigmoid, sigmoid


def formula(x: float, tau: float) -> float:
    m = sigmoid(x / tau)
    return -log_sigmoid(x) * (1 - m) + math.exp(-x) * m


@pytest.mark.parametrize("tau", [0.05, 0.7])
def test_it_follows_its_formula(follows, point, tau):
    follows("discopop", lambda p: formula(0.2 * p.h, tau), point, beta=0.2, tau=tau)


def test_the_start_costs_half_of_each_part(pair, gradients):
    batch = pair(-7.0, -9.0, -7.0, -9.0)
    assert losses.get("discopop").fn(batch).item() == pytest.approx((math.log(2.0) + 1) / 2, rel=1e-6)
    # slope in x: (-1/2 - 1)/2 + (1 - ln 2)/(4 tau)
    slope = 0.05 * (-0.75 + (1 - math.log(2.0)) / (4 * 0.05))
    assert gradients("discopop", batch) == pytest.approx((slope, -slope), rel=1e-4)


def test_at_the_start_tau_0_05_pushes_the_wrong_way_and_tau_0_2_the_right_one(pair, gradients):
    assert gradients("discopop", pair(-7.0, -9.0, -7.0, -9.0), tau=0.05)[0] > 0
    assert gradients("discopop", pair(-7.0, -9.0, -7.0, -9.0), tau=0.2)[0] < 0


@pytest.mark.parametrize(("x", "rises"), [(-0.13, False), (-0.11, True), (0.06, True), (0.08, False)])
def test_the_stretch_on_which_it_rises_with_the_margin(pair, gradients, x, rises):
    assert (gradients("discopop", pair(x / 0.05, 0.0, 0.0, 0.0))[0] > 0) == rises


@pytest.mark.parametrize("margin", [-2000.0, -200.0])
def test_a_wrong_pair_costs_what_the_logistic_part_says(pair, gradients, margin):
    batch = pair(margin, 0.0, 0.0, 0.0)
    assert losses.get("discopop").fn(batch, beta=1.0).item() == pytest.approx(-margin, rel=1e-5)
    assert gradients("discopop", batch, beta=1.0) == pytest.approx((-1.0, 1.0), rel=1e-5)
