"""Model entries and the default learning rate of a model that has none."""

import math

import pytest

from harness.options.models import ENTRIES, default_lr


def test_the_two_ends_of_the_rule_are_the_stated_ones():
    assert default_lr(135_000_000) == 1e-5
    assert default_lr(7_000_000_000) == 5e-7


def test_sizes_beyond_the_ends_take_the_values_of_the_ends():
    assert default_lr(1_000) == 1e-5
    assert default_lr(70_000_000_000) == 5e-7


def test_between_the_ends_the_logarithms_are_on_a_straight_line():
    middle = math.sqrt(135e6 * 7e9)  # the geometric mean: half way on a logarithmic axis
    assert math.sqrt(1e-5 * 5e-7) == pytest.approx(2.236e-6, rel=1e-3)
    assert default_lr(round(middle)) == 2e-6  # 2.236e-6 at one significant digit


def test_a_larger_model_never_takes_a_larger_rate():
    rates = [default_lr(round(10**exponent)) for exponent in (7, 8, 8.5, 9, 9.5, 10, 11)]
    assert rates == sorted(rates, reverse=True)
    assert all(rate == float(f"{rate:.0e}") for rate in rates)


def test_no_model_has_zero_parameters():
    with pytest.raises(ValueError, match="0 parameters"):
        default_lr(0)


def test_the_packaged_model_has_the_grid_that_its_size_needs():
    entry = ENTRIES["smollm2-135m"]
    assert (entry.lr, entry.max_tokens, entry.source) == (1e-5, 256, "packaged")
    assert entry.grid["dpo"]["beta"] == (0.1, 0.5, 2.0)
    assert entry.grid["ipo"]["beta"] == (1.0, 5.0, 25.0)
    assert "simpo" not in entry.grid  # keeps the grid of the literature


def test_the_tiny_model_is_for_tests():
    assert (ENTRIES["tiny"].lr, ENTRIES["tiny"].max_tokens, ENTRIES["tiny"].source) == (1e-3, 512, "random")
