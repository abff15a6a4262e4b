"""IPO in both reductions against hand arithmetic."""

import pytest

import losses


def example(pair):
    """a = 2 over 4 tokens, d = -1 over 2 tokens: per-token margin 0.5 + 0.5 = 1, summed margin 3."""
    return pair(-12.0, -9.0, -14.0, -8.0, nc=4, nr=2)


def test_ipo_measures_the_margin_per_token(pair, gradients):
    batch = example(pair)
    # target 1 / (2 * 0.25) = 2; (1 - 2)^2 = 1; slopes 2 * (1 - 2) / 4 and -2 * (1 - 2) / 2
    assert losses.get("ipo").fn(batch, beta=0.25).item() == pytest.approx(1.0)
    assert gradients("ipo", batch, beta=0.25) == pytest.approx((-0.5, 1.0))


def test_ipo_sum_measures_the_summed_margin(pair, gradients):
    batch = example(pair)
    # (3 - 2)^2 = 1; slopes 2 * (3 - 2) and its negative: the target is passed, so the pair is pulled back
    assert losses.get("ipo_sum").fn(batch, beta=0.25).item() == pytest.approx(1.0)
    assert gradients("ipo_sum", batch, beta=0.25) == pytest.approx((2.0, -2.0))


def test_a_summed_margin_of_7_at_beta_0_1_costs_4(pair):
    assert losses.get("ipo_sum").fn(pair(-10.0, -20.0, -12.0, -15.0), beta=0.1).item() == pytest.approx(4.0)


@pytest.mark.parametrize("name", ["ipo", "ipo_sum"])
@pytest.mark.parametrize(("beta", "start"), [(0.1, 25.0), (0.5, 1.0), (5.0, 0.01)])
def test_policy_equal_to_reference_costs_the_squared_target(pair, name, beta, start):
    batch = pair(-12.0, -9.0, -12.0, -9.0, nc=4, nr=2)
    assert losses.get(name).fn(batch, beta=beta).item() == pytest.approx(start)


@pytest.mark.parametrize("name", ["ipo", "ipo_sum"])
def test_a_pair_on_its_target_has_neither_cost_nor_gradient(pair, gradients, name):
    batch = pair(-3.0, -4.0, -4.0, -4.0)  # one token each: margin 1 in both reductions
    assert losses.get(name).fn(batch, beta=0.5).item() == 0.0
    assert gradients(name, batch, beta=0.5) == (0.0, 0.0)


def test_both_agree_on_one_token_answers(pair):
    batch = pair(-1.5, -2.0, -1.0, -2.5)
    assert losses.get("ipo").fn(batch).item() == losses.get("ipo_sum").fn(batch).item()
