"""EXO for pairs: a KL divergence between two coins, in double precision."""

import math

import pytest

import losses
from tests.losses.conftest import sigmoid


@pytest.mark.parametrize("e", [0.001, 0.2])
def test_it_is_the_kl_from_the_policys_choice_to_the_labels(follows, point, e):
    def formula(p):
        q = sigmoid(0.2 * p.h)
        return q * math.log(q / (1 - e)) + (1 - q) * math.log((1 - q) / e)

    follows("exo_pair", formula, point, beta=0.2, label_smoothing=e)


def test_it_is_0_and_flat_where_policy_and_labels_agree(pair, gradients):
    margin = math.log(0.9 / 0.1) / 0.1
    batch = pair(margin, 0.0, 0.0, 0.0)
    assert losses.get("exo_pair").fn(batch, label_smoothing=0.1).item() == pytest.approx(0.0, abs=1e-6)
    assert gradients("exo_pair", batch, label_smoothing=0.1) == pytest.approx((0.0, 0.0), abs=1e-7)


def test_the_start(pair, gradients):
    # KL of a fair coin; slope beta/4 * (log((1-e)/e))
    e = 0.001
    batch = pair(-7.0, -9.0, -7.0, -9.0)
    value = 0.5 * math.log(0.5 / (1 - e)) + 0.5 * math.log(0.5 / e)
    assert losses.get("exo_pair").fn(batch).item() == pytest.approx(value, rel=1e-5)
    slope = -0.1 / 4 * math.log((1 - e) / e)
    assert gradients("exo_pair", batch) == pytest.approx((slope, -slope), rel=1e-5)


def test_a_hopeless_pair_costs_minus_log_e_and_hardly_pulls(pair, gradients):
    hopeless = pair(-2000.0, 0.0, 0.0, 0.0)
    assert losses.get("exo_pair").fn(hopeless).item() == pytest.approx(-math.log(0.001), rel=1e-5)
    assert gradients("exo_pair", hopeless) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_a_label_without_doubt_is_refused(pair):
    with pytest.raises(ValueError, match="exo_pair.label_smoothing is 0.0, allowed: above 0"):
        losses.get("exo_pair").fn(pair(-1.0, -2.0, -1.0, -2.0), label_smoothing=0.0)
