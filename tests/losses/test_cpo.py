"""CPO and CPO-SimPO against double-precision formulas."""

import math

import pytest

import losses
from tests.losses.conftest import log_sigmoid


def test_cpo_follows_its_formula(follows, point):
    follows("cpo", lambda p: -log_sigmoid(0.2 * (p.c - p.r)) - 0.3 * p.cbar, point, beta=0.2, alpha=0.3)


def test_cpo_simpo_follows_its_formula(follows, point):
    def formula(p):
        return -log_sigmoid(2.0 * (p.cbar - p.rbar) - 0.5 * 2.0) - 0.3 * p.cbar

    follows("cpo_simpo", formula, point, beta=2.0, gamma_beta_ratio=0.5, alpha=0.3)


def test_cpo_on_a_worked_pair(pair, gradients):
    # c - r = 2.5, beta 0.1: -ls(0.25) = 0.57593, weight 0.43782; likelihood 3.5/7
    batch = pair(-3.5, -6.0, nc=7, nr=3)
    assert losses.get("cpo").fn(batch).item() == pytest.approx(0.57593 + 0.5, abs=1e-5)
    assert gradients("cpo", batch) == pytest.approx((-0.043782 - 1 / 7, 0.043782), abs=1e-6)


def test_equal_answers_cost_ln_2_plus_their_likelihood(pair):
    assert losses.get("cpo").fn(pair(-6.0, -6.0, nc=3, nr=2)).item() == pytest.approx(math.log(2.0) + 2.0, rel=1e-6)


def test_without_its_likelihood_cpo_simpo_is_simpo(pair):
    batch = pair(-3.5, -6.0, nc=7, nr=3)
    settings = {"beta": 2.5, "gamma_beta_ratio": 0.1}
    assert losses.get("cpo_simpo").fn(batch, alpha=0.0, **settings) == losses.get("simpo").fn(batch, **settings)


@pytest.mark.parametrize("name", ["cpo", "cpo_simpo"])
def test_the_reference_is_not_read(pair, name):
    assert losses.get(name).fn(pair(-4.0, -6.0)) == losses.get(name).fn(pair(-4.0, -6.0, -1.0, -9.0))


@pytest.mark.parametrize("name", ["cpo", "cpo_simpo"])
def test_the_terms_are_a_contrast_and_a_likelihood(pair, name):
    loss, batch = losses.get(name), pair(-3.5, -6.0, nc=7, nr=3)
    assert set(loss.terms) == {"contrast", "nll"}
    assert loss.terms["nll"](batch, **loss.defaults).item() == pytest.approx(loss.defaults["alpha"] * 0.5)
