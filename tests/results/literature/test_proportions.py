"""Exact intervals and tests of counts, against hand computation."""

import math

import pytest

from results.literature.proportions import clopper_pearson, fisher_exact


def test_an_interval_without_a_win_has_its_closed_form():
    low, high = clopper_pearson(0, 10, 0.90)
    assert low == 0 and high == pytest.approx(1 - 0.05 ** (1 / 10))
    assert clopper_pearson(10, 10, 0.90).low == pytest.approx(0.05 ** (1 / 10))


def test_the_ends_leave_five_per_cent_outside():
    low, high = clopper_pearson(3, 10, 0.90)
    at_least = sum(math.comb(10, k) * low**k * (1 - low) ** (10 - k) for k in range(3, 11))
    at_most = sum(math.comb(10, k) * high**k * (1 - high) ** (10 - k) for k in range(4))
    assert at_least == pytest.approx(0.05) and at_most == pytest.approx(0.05)
    assert clopper_pearson(3, 10, 0.90).half_width == pytest.approx((high - low) / 2)


def test_fisher_of_the_tea_tasting_lady():
    assert fisher_exact(3, 4, 1, 4) == pytest.approx(34 / 70)


@pytest.mark.parametrize("counts", [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="are no counts"):
        clopper_pearson(*counts, 0.9)
