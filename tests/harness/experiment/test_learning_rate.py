"""Learning rates: the schedule over the steps, and each loss's default."""

from __future__ import annotations

import pytest

import losses
from harness.experiment.learning_rate import Schedule, default_rate, rates_around


def test_the_learning_rate_rises_for_a_tenth_and_falls_as_a_cosine():
    rates = [Schedule(1.0).learning_rate(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.001
    assert all(a > b for a, b in zip(rates[10:], rates[11:], strict=False))


def test_linear_constant_and_no_warm_up():
    assert Schedule(1.0, decay="linear", warmup=0).learning_rate(25, 100) == pytest.approx(0.75)
    assert Schedule(1.0, decay="constant").learning_rate(99, 100) == 1.0
    assert Schedule(1.0, warmup=0).learning_rate(0, 100) == 1.0


def test_an_adapter_takes_ten_times_the_rate_and_a_loss_its_own_share():
    dpo, simpo = losses.get("dpo"), losses.get("simpo")
    assert default_rate(dpo, 1e-5, "full") == pytest.approx(1e-5 * dpo.lr_scale)
    assert default_rate(simpo, 1e-5, "lora") == pytest.approx(1e-4 * simpo.lr_scale)


def test_a_grid_is_a_third_the_rate_and_three_times_it_at_two_digits():
    assert rates_around(1e-5) == (3.3e-06, 1e-05, 3e-05)
