"""DPO against values and derivatives worked out with plain arithmetic."""

import math

import pytest

import losses


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def test_the_worked_example_has_loss_0_387_and_weight_0_321(pair, gradients):
    batch = pair(-3.5, -6.0, -4.0, -5.0)
    # log-ratios +0.5 and -1.0, times beta 0.5: margin 0.75
    assert losses.get("dpo").fn(batch, beta=0.5).item() == pytest.approx(0.387, abs=5e-4)
    chosen, rejected = gradients("dpo", batch, beta=0.5)
    assert chosen == pytest.approx(-0.5 * 0.321, abs=5e-4)
    assert rejected == pytest.approx(0.5 * 0.321, abs=5e-4)


def test_a_margin_of_7_nats_at_beta_0_1_has_loss_0_403_and_weight_0_332(pair, gradients):
    batch = pair(-10.0, -20.0, -12.0, -15.0)
    assert losses.get("dpo").fn(batch, beta=0.1).item() == pytest.approx(0.403, abs=5e-4)
    assert gradients("dpo", batch, beta=0.1)[0] == pytest.approx(-0.1 * 0.332, abs=5e-5)


def test_policy_equal_to_reference_gives_ln_2_and_half_the_strength_as_gradient(pair, gradients):
    batch = pair(-31.25, -7.5, -31.25, -7.5, nc=20, nr=3)
    assert losses.get("dpo").fn(batch, beta=0.3).item() == pytest.approx(math.log(2.0), rel=1e-6)
    assert gradients("dpo", batch, beta=0.3) == pytest.approx((-0.15, 0.15), rel=1e-6)


@pytest.mark.parametrize("margin", [-30.0, -3.0, 0.25, 4.0, 60.0])
def test_value_and_gradient_follow_the_closed_form(pair, gradients, margin):
    batch = pair(margin, 0.0, 0.0, 0.0)
    assert losses.get("dpo").fn(batch, beta=0.2).item() == pytest.approx(softplus(-0.2 * margin), rel=1e-5)
    assert gradients("dpo", batch, beta=0.2)[0] == pytest.approx(-0.2 * sigmoid(-0.2 * margin), rel=1e-5)


def test_a_hopeless_pair_costs_its_margin_and_a_learnt_pair_costs_nothing(pair):
    assert losses.get("dpo").fn(pair(-2000.0, 0.0, 0.0, 0.0), beta=0.1).item() == pytest.approx(200.0)
    assert losses.get("dpo").fn(pair(0.0, -2000.0, 0.0, 0.0), beta=0.1).item() == 0.0


def test_lengths_do_not_enter(pair):
    short, long = pair(-3.0, -5.0, -4.0, -4.0), pair(-3.0, -5.0, -4.0, -4.0, nc=9, nr=2)
    assert losses.get("dpo").fn(short).item() == losses.get("dpo").fn(long).item()


def test_a_batch_without_a_reference_is_refused_with_the_way_out(pair):
    with pytest.raises(ValueError, match=r'no reference.*needs=\{"reference"\}'):
        losses.get("dpo").fn(pair(-3.0, -5.0))
