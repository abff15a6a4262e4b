"""cDPO and robust DPO against double-precision formulas, and what they promise about wrong labels."""

import math

import pytest

import losses
from tests.losses.conftest import log_sigmoid


def cross_entropy(x: float, e: float) -> float:
    return -(1 - e) * log_sigmoid(x) - e * log_sigmoid(-x)


@pytest.mark.parametrize("e", [0.05, 0.3])
def test_cdpo_follows_its_formula(follows, point, e):
    follows("cdpo", lambda p: cross_entropy(0.2 * p.h, e), point, beta=0.2, label_smoothing=e)


@pytest.mark.parametrize("e", [0.05, 0.3])
def test_robust_follows_its_formula(follows, point, e):
    def formula(p):
        x = 0.2 * p.h
        return (-(1 - e) * log_sigmoid(x) + e * log_sigmoid(-x)) / (1 - 2 * e)

    follows("robust", formula, point, beta=0.2, label_smoothing=e)


def test_cdpo_is_least_where_the_model_is_as_sure_as_the_labels(pair, gradients):
    margin = math.log(0.8 / 0.2) / 0.1  # sigmoid(0.1 * margin) = 1 - 0.2
    batch = pair(margin, 0.0, 0.0, 0.0)
    assert gradients("cdpo", batch, beta=0.1, label_smoothing=0.2) == pytest.approx((0.0, 0.0), abs=1e-8)
    entropy = -0.8 * math.log(0.8) - 0.2 * math.log(0.2)
    assert losses.get("cdpo").fn(batch, beta=0.1, label_smoothing=0.2).item() == pytest.approx(entropy, rel=1e-5)


@pytest.mark.parametrize("margin", [-12.0, 0.0, 3.0, 40.0])
def test_robust_averaged_over_flipped_labels_is_dpo(pair, margin):
    e, loss = 0.2, losses.get("robust").fn
    right = loss(pair(margin, 0.0, 0.0, 0.0), label_smoothing=e).item()
    flipped = loss(pair(0.0, margin, 0.0, 0.0), label_smoothing=e).item()
    clean = losses.get("dpo").fn(pair(margin, 0.0, 0.0, 0.0)).item()
    assert (1 - e) * right + e * flipped == pytest.approx(clean, rel=1e-5)


def test_robust_has_no_floor_and_cdpo_has_one(pair):
    learnt = pair(0.0, -2000.0, 0.0, 0.0)
    assert losses.get("robust").fn(learnt).item() == pytest.approx(-0.1 * 200.0 / 0.8, rel=1e-5)
    assert losses.get("cdpo").fn(learnt).item() == pytest.approx(0.2 * 200.0, rel=1e-5)


@pytest.mark.parametrize("name", ["cdpo", "robust"])
def test_the_start_costs_ln_2_whatever_the_noise(pair, name):
    value = losses.get(name).fn(pair(-7.0, -9.0, -7.0, -9.0), label_smoothing=0.3)
    assert value.item() == pytest.approx(math.log(2.0), rel=1e-6)


def test_the_pull_at_the_start_shrinks_in_cdpo_and_grows_in_robust(pair, gradients):
    # DPO's is beta/2 = 0.05; times 1 - 2e = 0.6, and divided by it
    assert gradients("cdpo", pair(-7.0, -9.0, -7.0, -9.0), label_smoothing=0.2)[0] == pytest.approx(-0.03)
    assert gradients("robust", pair(-7.0, -9.0, -7.0, -9.0), label_smoothing=0.2)[0] == pytest.approx(-0.05 / 0.6)


@pytest.mark.parametrize("e", [0.5, -0.1])
def test_a_share_of_wrong_labels_of_a_half_or_below_0_is_refused(e):
    with pytest.raises(ValueError, match="robust.label_smoothing is .*from 0 to below 0.5"):
        losses.check_hyperparameters(losses.get("robust"), {"label_smoothing": e})
