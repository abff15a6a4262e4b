"""Exponents of lr and beta in the margin: recovered from runs that obey a law, with intervals and a verdict."""

from itertools import product

import numpy as np
import pytest

import results
from results.inference.exponents import exponents, fit
from results.schema.row import names
from results.schema.tables import EXPONENT_COLUMNS

RATES, BETAS = (1e-6, 3e-6, 1e-5, 3e-5), (0.05, 0.1, 0.5)


def law(p, q, noise=0.05, seed=0):
    """lr, beta and margin of a grid of runs."""
    lr, beta = np.array(list(product(RATES, BETAS))).T
    scatter = np.exp(np.random.default_rng(seed).normal(0, noise, len(lr)))
    return lr, beta, 1e5 * lr**p * beta**q * scatter


@pytest.fixture
def runs(stored, tmp_path):
    def write(p, q, noise=0.05):
        for place, (lr, beta, margin) in enumerate(zip(*law(p, q, noise), strict=True)):
            stored("dpo", f"c{place}", protocol="p", lr=lr, beta=beta, margin=margin, seed=0)
        return results.read(tmp_path / "runs")

    return write


def test_an_exact_law_is_found_exactly():
    found = fit(*law(0.9, -0.4, noise=0.0))
    assert found.lr.value == pytest.approx(0.9) and found.beta.value == pytest.approx(-0.4)
    assert found.sum.value == pytest.approx(0.5) and found.degrees == 9 and found.error < 1e-9
    lr, beta, margin = law(0.9, -0.4)
    assert np.isnan(fit(lr, beta, -margin).lr.value)


def test_the_intervals_hold_the_true_exponents_in_about_95_percent():
    held = []
    for seed in range(300):
        found = fit(*law(1.0, -1.0, noise=0.3, seed=seed))
        low, high = results.metrics.statistics.interval(found.sum, found.degrees)
        held.append(low <= 0 <= high)
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize(
    ("p", "q", "noise", "verdict"),
    [
        (1.0, -1.0, 0.05, "confirmed"),
        (1.0, 0.0, 0.05, "refuted"),
        (1.0, -1.0, 2.0, "not decided"),
    ],
)
def test_the_rule_is_confirmed_refuted_or_not_decided(runs, p, q, noise, verdict):
    (row,) = exponents(runs(p, q, noise)).to_dict("records")
    assert row["verdict"] == verdict and row["loss"] == "dpo" and row["cells"] == 12
    assert row["lr_low"] < row["lr_exponent"] < row["lr_high"]


def test_cells_without_a_logarithm_are_counted_and_one_beta_is_no_law(runs, stored, tmp_path):
    runs(1.0, 0.0)
    stored("dpo", "negative", protocol="p", lr=1e-6, beta=0.1, margin=-0.5, seed=0)
    for place, lr in enumerate(RATES):
        stored("ipo", f"i{place}", protocol="p", lr=lr, beta=0.1, margin=1.0 + place, seed=0)
    found = exponents(results.read(tmp_path / "runs"))
    assert found["loss"].tolist() == ["dpo"] and found["left_out"].tolist() == [1]
    assert tuple(found.columns) == names(EXPONENT_COLUMNS)
