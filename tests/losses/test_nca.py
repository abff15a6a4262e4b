"""NCA against a double-precision formula."""

import math

import pytest

import losses
from tests.losses.conftest import log_sigmoid


def test_it_follows_its_formula(follows, point):
    def formula(p):
        a, d = 0.2 * p.a, 0.2 * p.d
        return -log_sigmoid(a) - 0.5 * log_sigmoid(-a) - 0.5 * log_sigmoid(-d)

    follows("nca_pair", formula, point, beta=0.2)


def test_the_start_costs_2_ln_2_and_pulls_and_pushes_a_quarter_of_beta(pair, gradients):
    batch = pair(-7.0, -9.0, -7.0, -9.0)
    assert losses.get("nca_pair").fn(batch, beta=0.2).item() == pytest.approx(2 * math.log(2.0), rel=1e-6)
    assert gradients("nca_pair", batch, beta=0.2) == pytest.approx((-0.05, 0.05), rel=1e-6)


def test_the_chosen_answer_is_best_at_two_to_one(pair, gradients):
    best = math.log(2.0) / 0.2  # sigmoid(0.2 * best) = 2/3
    assert gradients("nca_pair", pair(best, 0.0, 0.0, 0.0), beta=0.2)[0] == pytest.approx(0.0, abs=1e-7)
    assert gradients("nca_pair", pair(best + 1.0, 0.0, 0.0, 0.0), beta=0.2)[0] > 0
