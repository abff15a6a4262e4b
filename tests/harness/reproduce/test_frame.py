"""Verdicts: what matches, what is an erratum, what a phenomenon over seeds must show."""

import math

import pytest

from harness.reproduce.frame import (
    ERRATUM,
    MATCH,
    MISMATCH,
    NOT_SEEN,
    REPORTED,
    SEEN,
    bound,
    interval,
    number,
    order,
    order_by_seed,
    phenomenon,
    reported,
)


@pytest.mark.parametrize(
    ("ours", "verdict"), [(0.5254, MATCH), (0.5255, MATCH), (0.5256, MISMATCH), (math.nan, MISMATCH)]
)
def test_a_figure_matches_up_to_half_of_its_last_digit(ours, verdict):
    assert number("row", "win_rate", 0.525, ours, 5e-4).verdict == verdict


@pytest.mark.parametrize(("ours", "verdict"), [(0.0362, ERRATUM), (0.031, MISMATCH), (0.05, MISMATCH)])
def test_an_erratum_must_be_the_corrected_figure_and_not_the_printed_one(ours, verdict):
    assert number("row", "half_width", 0.031, ours, 5e-4, corrected=0.0362).verdict == verdict


def test_a_correction_within_the_tolerance_is_no_erratum():
    assert number("row", "x", 1.0, 1.0001, 5e-4, corrected=1.0002).verdict == MISMATCH


def test_a_bound_holds_on_its_ends_and_not_beyond():
    assert bound("row", "p", "significant", 0.01, high=0.01).verdict == MATCH
    assert bound("row", "p", "significant", 0.011, high=0.01).verdict == MISMATCH
    assert bound("row", "p", "significant", math.nan, high=0.01).verdict == MISMATCH
    assert bound("row", "moved", "falls", 0.0, high=1e-9, erratum=True).verdict == ERRATUM
    assert bound("row", "moved", "falls", 0.1, high=1e-9, erratum=True).verdict == MISMATCH


def test_the_interval_over_seeds_is_student_s():
    value, low, high = interval([1.0, 2.0, 3.0])
    assert value == 2.0
    assert high - value == pytest.approx(4.302653 / math.sqrt(3))
    assert low == pytest.approx(4.0 - high)
    assert math.isnan(interval([1.0]).low)


def test_a_phenomenon_needs_the_whole_interval_on_its_side():
    assert phenomenon("dpo", "drift", "falls", [-2.0, -2.1, -1.9], high=0.0).verdict == SEEN
    assert phenomenon("dpo", "drift", "falls", [-2.0, 0.5, -0.1], high=0.0).verdict == NOT_SEEN
    assert phenomenon("dpo", "drift", "falls", [2.0, 2.1, 1.9], high=0.0).verdict == NOT_SEEN
    assert phenomenon("dpo", "drift", "falls", [0.0, 0.0, 0.0], high=0.0).verdict == NOT_SEEN  # no order
    one = phenomenon("dpo", "drift", "falls", [-2.0], high=0.0)
    assert one.verdict == REPORTED and "one seed" in one.note


def test_an_order_is_judged_by_tau_and_only_with_enough_things():
    theirs = [1.0, 2, 3, 4, 5, 6, 7, 8, 9]
    same = order("setting", "tau", theirs, theirs)
    assert same.ours == 1.0 and same.verdict == SEEN
    assert order("setting", "tau", theirs, theirs[::-1]).verdict == NOT_SEEN
    few = order("setting", "tau", [1.0, 2.0], [1.0, 2.0])
    assert few.verdict == REPORTED and math.isnan(few.low)


def test_what_follows_from_the_loss_is_contradicted_only_by_a_whole_interval():
    assert phenomenon("dpo", "margin", "grows", [-2.0, -2.1, -1.9], low=0.0, follows=True).verdict == MISMATCH
    assert phenomenon("dpo", "margin", "grows", [-2.0, 0.5, 0.1], low=0.0, follows=True).verdict == NOT_SEEN
    assert phenomenon("ipo", "margin", "1", [1.9, 2.0, 2.1], low=0.8, high=1.2, follows=True).verdict == MISMATCH
    assert phenomenon("ipo", "margin", "1", [1.0, 1.01, 1.02], low=0.8, high=1.2, follows=True).verdict == SEEN


def test_rankings_are_compared_seed_by_seed():
    same = order_by_seed("dpo", "tau", [1, 2, 3], [[10, 20, 30], [1, 5, 9], [2, 3, 4]])
    assert (same.ours, same.low, same.high, same.verdict) == (1, 1, 1, SEEN)
    mixed = order_by_seed("dpo", "tau", [1, 2, 3], [[10, 20, 30], [9, 5, 1]])
    assert mixed.ours == 0 and mixed.verdict == NOT_SEEN


def test_a_report_has_an_interval_and_no_verdict():
    check = reported("kto", "drift", [1.0, 1.2, 1.1])
    assert check.verdict == REPORTED and check.low < 1.1 < check.high and check.allowed == "-"
    assert "no interval" in phenomenon("dpo", "drift", "falls", [math.nan, 1.0, 2.0], low=0.0).note
