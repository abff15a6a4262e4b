"""DPO under other divergences against double-precision formulas, and far out where exponentials overflow."""

import math

import pytest

import losses
from tests.losses.conftest import log_sigmoid


def test_forward_kl_follows_its_formula(follows, point):
    # f(u) = -log u has f'(u) = -1/u
    follows("dpo_forward_kl", lambda p: -log_sigmoid(0.2 * (-1 / math.exp(p.a) + 1 / math.exp(p.d))), point, beta=0.2)


def test_js_follows_its_formula(follows, point):
    def derivative(log_ratio):
        u = math.exp(log_ratio)
        return math.log(2 * u / (1 + u))

    follows("dpo_js", lambda p: -log_sigmoid(0.2 * (derivative(p.a) - derivative(p.d))), point, beta=0.2)


@pytest.mark.parametrize("alpha", [0.3, 0.5, 2.0])
def test_alpha_follows_its_formula(follows, point, alpha):
    def derivative(log_ratio):
        return (math.exp(log_ratio) ** (alpha - 1) - 1) / (alpha - 1)

    def formula(p):
        return -log_sigmoid(0.2 * (derivative(p.a) - derivative(p.d)))

    follows("dpo_alpha", formula, point, beta=0.2, alpha=alpha)


def test_alpha_lies_between_reverse_and_forward_kl(pair):
    batch = pair(-3.5, -6.0, -4.0, -5.0)
    assert losses.get("dpo_alpha").fn(batch, alpha=1.0).item() == losses.get("dpo").fn(batch).item()
    assert losses.get("dpo_alpha").fn(batch, alpha=1.001).item() == pytest.approx(
        losses.get("dpo").fn(batch).item(), rel=1e-4
    )
    forward = losses.get("dpo_forward_kl").fn(batch).item()
    assert losses.get("dpo_alpha").fn(batch, alpha=0.0).item() == pytest.approx(forward, rel=1e-6)


@pytest.mark.parametrize("name", ["dpo_forward_kl", "dpo_js", "dpo_alpha"])
def test_the_start_costs_ln_2(pair, name):
    assert losses.get(name).fn(pair(-7.0, -9.0, -7.0, -9.0)).item() == pytest.approx(math.log(2.0), rel=1e-6)


@pytest.mark.parametrize(("name", "slope"), [("dpo_forward_kl", 0.05), ("dpo_js", 0.025), ("dpo_alpha", 0.05)])
def test_the_pull_at_the_start_is_half_of_beta_times_the_second_derivative(pair, gradients, name, slope):
    # u f''(u) at u = 1: forward KL 1, Jensen-Shannon 1/2, alpha-divergence 1
    assert gradients(name, pair(-7.0, -9.0, -7.0, -9.0)) == pytest.approx((-slope, slope), rel=1e-5)


def test_a_chosen_answer_that_fell_far_costs_a_finite_price_and_is_pulled_back(pair, gradients):
    for fall in (50.0, 2000.0):
        value = losses.get("dpo_forward_kl").fn(pair(-fall, 0.0, 0.0, 0.0)).item()
        # beta * (exp(30) * (1 + fall - 30) - 1): the tangent at 30
        assert value == pytest.approx(0.1 * (math.exp(30.0) * (fall - 29.0) - 1.0), rel=1e-5)
        chosen, _ = gradients("dpo_forward_kl", pair(-fall, 0.0, 0.0, 0.0))
        assert chosen == pytest.approx(-0.1 * math.exp(30.0), rel=1e-5)


def test_js_saturates_for_chosen_answers_and_not_for_rejected_ones(pair):
    raised = losses.get("dpo_js").fn(pair(0.0, -5.0, -2000.0, -5.0)).item()
    assert raised == pytest.approx(-log_sigmoid(0.1 * math.log(2.0)), rel=1e-5)
    lowered = losses.get("dpo_js").fn(pair(-5.0, -2000.0, -5.0, 0.0)).item()
    assert lowered == pytest.approx(0.0, abs=1e-6)
