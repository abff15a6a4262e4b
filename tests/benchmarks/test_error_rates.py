"""The shipped test errs in at most 6 % of comparisons where tests over seeds or rows alone do far worse."""

import pytest

from benchmarks.error_rates import (
    CASES,
    COVERAGE,
    GAP,
    LARGEST_ERROR,
    SEED_EFFECT,
    TASTE,
    Case,
    main,
    simulate,
    true_gap,
)

SWEEPS = 400
UNLIKE = Case("unlike", SEED_EFFECT, TASTE)
NOISE = 0.025  # two standard errors of a share of 5 % in so many sweeps


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(("seeds", "pairs"), [(3, 192), (5, 500)])
def test_losses_of_equal_accuracy_are_rarely_called_different(case, seeds, pairs):
    rates = simulate(case, seeds, pairs, SWEEPS)
    assert rates.shipped <= LARGEST_ERROR + NOISE
    assert rates.coverage >= COVERAGE[0] - NOISE


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(("seeds", "pairs"), [(3, 500), (10, 192), (10, 500)])
def test_no_case_errs_too_often(case, seeds, pairs):
    rates = simulate(case, seeds, pairs, 2000)
    assert rates.shipped <= LARGEST_ERROR + 0.005 and rates.coverage >= COVERAGE[0] - 0.005


def test_tests_over_seeds_or_rows_alone_take_chance_for_a_better_loss():
    assert simulate(UNLIKE, 5, 192, SWEEPS).welch > 0.1
    assert simulate(Case("seeds", 0.04, 0.0), 5, 500, SWEEPS).rows > 0.2


def test_a_difference_is_found_more_often_with_more_seeds_and_rows():
    few, many = simulate(UNLIKE, 3, 192, SWEEPS), simulate(UNLIKE, 5, 2000, 200)
    assert few.power < many.power and many.power > 0.8


def test_chances_that_end_at_0_and_1_make_the_gap_smaller():
    assert 0.9 * GAP < true_gap(Case("plain", 0.0, 0.0), GAP) < GAP
    assert true_gap(UNLIKE, GAP) < true_gap(Case("plain", 0.0, 0.0), GAP) and true_gap(UNLIKE, 0.0) == 0


def test_the_command_prints_a_table_and_refuses_other_words(capsys):
    assert main(["sweeps=40", "seeds=3", "pairs=64"]) in (0, 1)
    assert capsys.readouterr().out.count("| 3 | 64 |") == len(CASES)
    assert main(["sweeps=many"]) == 2
    assert "allowed are whole numbers from 2" in capsys.readouterr().err
