"""Exponents of lr and beta in the margin: recovered from runs that obey a law, with intervals and a verdict."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import results
from results.inference.exponents import UNKNOWN, Exponents, exponents, fit, verdict
from results.metrics.statistics import MISSING, Estimate
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


@pytest.mark.filterwarnings("error")
def test_four_cells_are_the_fewest_of_a_fit_and_a_margin_of_0_has_no_logarithm():
    lr, beta = np.array([1e-6, 1e-5, 1e-6, 1e-5]), np.array([0.1, 0.1, 0.5, 0.5])
    margin = 1e5 * lr**0.9 * beta**-0.4
    found = fit(lr, beta, margin)
    assert found.lr.value == pytest.approx(0.9) and found.beta.value == pytest.approx(-0.4) and found.degrees == 1
    assert fit(lr[:3], beta[:3], margin[:3]) is UNKNOWN
    assert fit(lr, beta, margin * [1, 1, 0, 1]) is UNKNOWN


def test_the_verdict_rests_on_students_interval_of_the_sum():
    def of(value, se, degrees):
        return verdict(Exponents(MISSING, MISSING, Estimate(value, se), degrees, 0.0))

    assert of(1.0, 0.3, 2) == "not decided"  # 1 +- 1.29; a normal interval would leave 0 out
    assert of(1.0, 0.3, 100) == of(-1.0, 0.3, 100) == "refuted"
    assert of(0.0, 0.0, 100) == "confirmed"
    assert of(-0.3, 0.2, 100) == of(0.3, 0.2, 100) == "not decided"


def frame(loss, protocol="p", p=0.9, noise=0.05):
    """The rows of finished cells of one loss."""
    return pd.DataFrame(dict(zip(("lr", "beta", "margin"), law(p, -0.4, noise), strict=True))).assign(
        loss=loss, protocol=protocol, status="done"
    )


def test_losses_stand_in_the_order_of_the_runs_with_students_intervals():
    runs = pd.concat([frame("sft").assign(beta=0.1), frame("ipo", None), frame("dpo"), frame("dpo", "o")])
    found = exponents(runs)
    assert found["loss"].tolist() == ["ipo", "dpo", "dpo"] and found["protocol"].isna().tolist() == [True, False, False]
    assert found["protocol"].tolist()[1:] == ["p", "o"]
    law_found = fit(*law(0.9, -0.4))
    reach = stats.t.ppf(0.975, 9) * law_found.lr.se
    ends = [law_found.lr.value - reach, law_found.lr.value + reach]
    assert found[["lr_low", "lr_high"]].iloc[0].tolist() == pytest.approx(ends)


def test_cells_that_did_not_finish_or_lack_a_number_are_no_evidence():
    runs = frame("dpo")
    odd = runs.head(1).assign(margin=1e3)
    failed, unknown = odd.assign(status="failed"), [odd.assign(**{name: np.nan}) for name in ("lr", "beta", "margin")]
    at_zero = odd.assign(margin=0.0)
    pd.testing.assert_frame_equal(exponents(pd.concat([runs, failed, *unknown])), exponents(runs))
    (line,) = exponents(pd.concat([runs, at_zero])).to_dict("records")
    assert (line["cells"], line["left_out"]) == (12, 1)
