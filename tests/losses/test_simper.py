"""SimPER against a double-precision formula."""

import math

import pytest

import losses


def test_it_follows_its_formula(follows, point):
    follows("simper", lambda p: -math.exp(p.cbar) + math.exp(p.rbar), point)


def test_a_worked_pair(pair, gradients):
    # inverse perplexities exp(-0.5) = 0.6065 and exp(-2) = 0.1353
    batch = pair(-2.0, -6.0, nc=4, nr=3)
    assert losses.get("simper").fn(batch).item() == pytest.approx(0.1353 - 0.6065, abs=1e-4)
    assert gradients("simper", batch) == pytest.approx((-0.6065 / 4, 0.1353 / 3), abs=1e-4)


def test_values_lie_between_minus_1_and_1(pair):
    assert losses.get("simper").fn(pair(0.0, -2000.0)).item() == -1.0
    assert losses.get("simper").fn(pair(-2000.0, 0.0)).item() == 1.0


def test_an_unlikely_answer_does_not_move(pair, gradients):
    chosen, rejected = gradients("simper", pair(-300.0, -300.0))
    assert abs(chosen) < 1e-30 and abs(rejected) < 1e-30
