"""SPPO and Cal-DPO against hand arithmetic."""

import math

import pytest

import losses
from tests.losses.conftest import log_sigmoid


def test_sppo_hard_follows_its_formula(follows, point):
    follows("sppo_hard", lambda p: (p.a - 2.5) ** 2 + (p.d + 2.5) ** 2, point, beta=0.2)


def test_cal_dpo_follows_its_formula(follows, point):
    def formula(p):
        return -log_sigmoid(p.h) + 0.5 * ((p.a - 2.5) ** 2 + (p.d + 2.5) ** 2)

    follows("cal_dpo", formula, point, beta=0.2)


def test_sppo_on_a_worked_pair(pair, gradients):
    # a = 0.5, d = -1, targets 1 and -1: (-0.5)^2 + 0; slopes -1 and 0
    batch = pair(-3.5, -6.0, -4.0, -5.0)
    assert losses.get("sppo_hard").fn(batch, beta=0.5).item() == pytest.approx(0.25)
    assert gradients("sppo_hard", batch, beta=0.5) == pytest.approx((-1.0, 0.0))


def test_cal_dpo_on_a_worked_pair(pair, gradients):
    # h = 1.5: softplus(-1.5) = 0.20141, weight 0.18243; half of sppo's 0.25
    batch = pair(-3.5, -6.0, -4.0, -5.0)
    assert losses.get("cal_dpo").fn(batch, beta=0.5).item() == pytest.approx(0.20141 + 0.125, abs=1e-5)
    assert gradients("cal_dpo", batch, beta=0.5) == pytest.approx((-0.18243 - 0.5, 0.18243), abs=1e-5)


@pytest.mark.parametrize("beta", [0.001, 0.1, 2.0])
def test_the_start_costs_the_squared_targets(pair, beta):
    batch = pair(-7.0, -9.0, -7.0, -9.0)
    assert losses.get("sppo_hard").fn(batch, beta=beta).item() == pytest.approx(1 / (2 * beta**2), rel=1e-5)
    expected = math.log(2.0) + 1 / (4 * beta**2)
    assert losses.get("cal_dpo").fn(batch, beta=beta).item() == pytest.approx(expected, rel=1e-5)


def test_sppo_holds_both_answers_where_ipo_holds_their_difference(pair, gradients):
    displaced = pair(-20.0, -22.0, -10.0, -10.0)  # margin 2 = 1/(2*0.25), both far down
    assert gradients("ipo_sum", displaced, beta=0.25) == (0.0, 0.0)
    assert gradients("sppo_hard", displaced, beta=0.25) == pytest.approx((-24.0, -20.0))
