"""Hinge losses against hand arithmetic."""

import pytest

import losses


def test_hinge_follows_its_formula(follows, point):
    follows("hinge", lambda p: max(0.0, 1.0 - 0.2 * p.h), point, beta=0.2)


def test_a_pair_beyond_its_margin_of_20_nats_no_longer_counts(pair, gradients):
    assert losses.get("hinge").fn(pair(-7.0, -9.0, -7.0, -9.0)).item() == 1.0
    assert losses.get("hinge").fn(pair(0.0, -10.0, 0.0, 0.0)).item() == 0.5
    assert gradients("hinge", pair(0.0, -10.0, 0.0, 0.0)) == pytest.approx((-0.05, 0.05))
    assert losses.get("hinge").fn(pair(0.0, -21.0, 0.0, 0.0)).item() == 0.0
    assert gradients("hinge", pair(0.0, -21.0, 0.0, 0.0)) == (0.0, 0.0)


def test_slic_follows_its_formula(follows, point):
    def formula(p):
        return max(0.0, 4.0 - (p.c - p.r)) - 0.3 * p.c / p.nc

    follows("slic", formula, point, delta=4.0, alpha=0.3)


def test_slic_short_of_and_beyond_its_margin(pair, gradients):
    # c - r = 0.25, short of 1 by 0.75; likelihood 0.1 * 2/4
    short = pair(-2.0, -2.25, nc=4, nr=3)
    assert losses.get("slic").fn(short).item() == pytest.approx(0.75 + 0.05)
    assert gradients("slic", short) == pytest.approx((-1.0 - 0.025, 1.0))
    beyond = pair(-2.0, -9.0, nc=4, nr=3)
    assert losses.get("slic").fn(beyond).item() == pytest.approx(0.05)
    assert gradients("slic", beyond) == pytest.approx((-0.025, 0.0))


def test_rrhf_follows_its_formula(follows, point):
    follows("rrhf", lambda p: max(0.0, p.rbar - p.cbar) - 0.3 * p.c, point, alpha=0.3)


def test_rrhf_ranks_means_and_likes_sums(pair, gradients):
    # means -1 and -0.5: behind by 0.5; likelihood 4
    behind = pair(-4.0, -1.0, nc=4, nr=2)
    assert losses.get("rrhf").fn(behind).item() == pytest.approx(4.5)
    assert gradients("rrhf", behind) == pytest.approx((-0.25 - 1.0, 0.5))
    ahead = pair(-4.0, -9.0, nc=4, nr=2)
    assert losses.get("rrhf").fn(ahead).item() == pytest.approx(4.0)
    assert gradients("rrhf", ahead) == pytest.approx((-1.0, 0.0))


@pytest.mark.parametrize("name", ["slic", "rrhf"])
def test_the_reference_is_not_read(pair, name):
    assert losses.get(name).fn(pair(-4.0, -6.0)) == losses.get(name).fn(pair(-4.0, -6.0, -1.0, -9.0))
