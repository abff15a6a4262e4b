"""The test of two losses from runs and rows: its arithmetic by hand (its error rates: tests/benchmarks)."""

import math

import numpy as np
import pytest
from scipy import stats

from results.inference import test as inference


def test_the_error_by_hand():
    a, b = np.array([0.5, 0.7, 0.6]), np.array([0.4, 0.4, 0.1])
    rows_a, rows_b = np.tile([[1.0, 0.0, 1.0, 1.0]], (3, 1)), np.tile([[0.0, 0.0, 1.0, 0.0]], (3, 1))
    found = inference.difference(a, b, rows_a, rows_b)
    over_rows = np.var([1, 0, 0, 1], ddof=1) / 4
    assert found.value == pytest.approx(0.3)
    assert found.se == pytest.approx(math.sqrt(0.01 / 3 + 0.03 / 3 + over_rows))  # equal rows: nothing is in both
    assert found.se_rows == pytest.approx(math.sqrt(over_rows))
    assert found.degrees == pytest.approx(found.se**4 / ((0.01 / 3) ** 2 / 2 + (0.03 / 3) ** 2 / 2 + over_rows**2 / 3))
    assert found.p == pytest.approx(2 * stats.t.sf(0.3 / found.se, found.degrees))


def test_what_single_runs_make_of_single_rows_is_counted_once():
    a, b = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]), np.zeros((2, 3))  # residuals: +-2/3, +-1/3, +-1/3 around 1/2
    found = inference.difference(a.mean(axis=1), b.mean(axis=1), a, b)
    over_runs, over_rows = np.var([1 / 3, 2 / 3], ddof=1) / 2, 0.0
    both = 2 * ((2 / 3) ** 2 + 2 * (1 / 3) ** 2) / (1 * 2) / (2 * 3)
    assert found.se_rows == over_rows
    assert found.se == pytest.approx(math.sqrt(max(0.0, over_runs - both)))


TWO_RUNS = np.array([[3.0, 1.0, 2.0], [0.0, 1.0, 0.0]])
"""Their difference is (3, 0, 2): variance over runs (5/3)^2 / 2, and by run and row 14/6 / 2 = 7/6."""


def test_the_part_of_single_runs_and_rows_is_taken_off_the_variance_over_runs():
    over_rows = np.var([1.5, 1, 1], ddof=1) / 3
    found = inference.difference(TWO_RUNS.mean(axis=1), np.zeros(2), TWO_RUNS, np.zeros((2, 3)))
    assert found.se == pytest.approx(math.sqrt(over_rows + 25 / 18 / 2 - 7 / 6 / 6))
    alone = inference.mean_over_runs(TWO_RUNS.mean(axis=1), TWO_RUNS)
    assert alone.se == pytest.approx(found.se) and alone.value == pytest.approx(7 / 6)


@pytest.mark.filterwarnings("error")
def test_one_run_on_a_side_has_a_difference_and_an_error_over_rows_alone():
    rows_a, rows_b = np.array([[[1.0, 0.0, 1.0]], [[1.0, 1.0, 0.0]]]), np.zeros((2, 4, 3))
    found = inference.difference(rows_a.mean(axis=-1), rows_b.mean(axis=-1), rows_a, rows_b)
    assert found.value == pytest.approx([2 / 3, 2 / 3]) and found.se_rows == pytest.approx([1 / 3, 1 / 3])
    for nothing in (found.se, found.degrees, found.p):
        assert nothing.shape == (2,) and np.isnan(nothing).all()


@pytest.mark.filterwarnings("error")
def test_one_cluster_of_rows_has_no_error():
    a, b = np.array([[1.0], [3.0], [2.0]]), np.zeros((3, 1))
    found = inference.difference(a[:, 0], b[:, 0], a, b)
    assert found.value == 2 and all(map(np.isnan, (found.se, found.se_rows, found.p)))
    stacked = inference.difference(
        np.stack([a[:, 0]] * 2), np.stack([b[:, 0]] * 2), np.stack([a] * 2), np.stack([b] * 2)
    )
    assert stacked.se_rows.shape == (2,) and np.isnan(stacked.se).all()
    alone = inference.mean_over_runs(a[:, 0], a)
    assert alone.value == 2 and math.isnan(alone.se)


def test_runs_that_scatter_together_leave_at_least_the_degrees_of_freedom_of_their_seeds():
    rows = np.random.default_rng(0).random((3, 50)) < 0.5
    a = rows.astype(float)
    b = a.copy()
    b[0, 0] = 1 - b[0, 0]  # but for one answer the same, so that the gap hardly varies over rows
    found = inference.difference(a.mean(axis=1), b.mean(axis=1), a, b)
    assert found.degrees >= 2 and found.se < 0.02


@pytest.mark.parametrize("clusters", [2, 3, 6])
def test_many_seeds_on_few_clusters_do_not_make_equal_losses_different(clusters):
    draw = np.random.default_rng(0)
    a, b = (draw.normal(0, 1, (2000, 1, clusters)) + draw.normal(0, 0.3, (2000, 10, clusters)) for _ in range(2))
    assert np.mean(inference.difference(a.mean(axis=-1), b.mean(axis=-1), a, b).p < 0.05) < 0.07


@pytest.mark.filterwarnings("error")
def test_rows_that_all_agree_are_as_certain_as_their_number_makes_them():
    for clusters, p in ((2, 0.5), (5, 1 / 16), (11, 1 / 1024)):
        ones, zeros = np.ones((3, clusters)), np.zeros((3, clusters))
        assert inference.difference(ones.mean(axis=1), zeros.mean(axis=1), ones, zeros).p == p
        assert inference.difference(ones.mean(axis=1), ones.mean(axis=1), ones, ones).p == 1


def test_several_tests_at_once_are_the_tests_one_by_one():
    rng = np.random.default_rng(0)
    rows_a, rows_b = rng.random((4, 3, 20)), rng.random((4, 5, 20))
    whole = inference.difference(rows_a.mean(-1), rows_b.mean(-1), rows_a, rows_b)
    for place in range(4):
        one = inference.difference(rows_a[place].mean(-1), rows_b[place].mean(-1), rows_a[place], rows_b[place])
        assert [field[place] for field in whole] == pytest.approx(list(one))


def test_holm_by_hand():
    given = np.array([0.04, 0.01, math.nan, 0.03])
    assert inference.holm(given) == pytest.approx([0.06, 0.03, math.nan, 0.06], nan_ok=True)
    assert inference.holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_rows_alone_leave_what_is_not_of_runs_and_never_less_than_nothing():
    rows = np.array([[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
    assert inference.row_variance(rows, np.zeros((2, 4))) == pytest.approx(np.var([1, 0, 1, 0], ddof=1) / 4)
    noise = np.array([[1.0, 0.0], [0.0, 1.0]])  # each run has its own rows right: nothing is the rows' alone
    assert inference.row_variance(noise, np.zeros((2, 2))) == 0
    rows_b = np.array([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    one = np.var([1, 0, 1, -1], ddof=1) / 4
    assert inference.row_variance(rows, rows_b) == pytest.approx(one)
    assert inference.row_variance(np.stack([rows, rows]), np.stack([rows_b, rows_b])) == pytest.approx([one, one])


def test_a_mean_over_runs_by_hand():
    values, rows = np.array([0.25, 0.5, 0.75]), np.tile([[1.0, 0.0, 1.0, 0.0]], (3, 1))
    found = inference.mean_over_runs(values, rows)
    over_runs, over_rows = 0.0625 / 3, np.var([1, 0, 1, 0], ddof=1) / 4
    assert found.value == 0.5 and found.se == pytest.approx(math.sqrt(over_runs + over_rows))
    assert found.degrees == pytest.approx((over_runs + over_rows) ** 2 / (over_runs**2 / 2 + over_rows**2 / 3))


def test_the_degrees_of_freedom_of_a_mean_are_at_least_those_of_its_smallest_sample():
    rows = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])  # the means of the rows are equal: no variance is left
    assert inference.mean_over_runs(rows.mean(axis=1), rows)[1:] == (0, 1)
    two_clusters = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    found = inference.mean_over_runs(np.array([0.5, 0.5, 0.5]), two_clusters)
    assert (found.se, found.degrees) == (pytest.approx(0.5), 1)
    same = inference.mean_over_runs(np.full(3, 0.5), np.full((3, 4), 0.5))
    assert same == (0.5, 0, math.inf)


def test_what_rows_alone_hide_no_number_of_seeds_finds():
    spread = inference.Spread(seeds=0.0001, rows=0.0004, settings=2, runs=6)
    reach = inference.out_of_reach(spread)
    assert reach == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * 0.02)
    assert inference.seeds_for(spread, 0.99 * reach) is None and inference.seeds_for(spread, 2 * reach) >= 3


def test_the_seeds_needed_are_the_fewest_whose_own_reach_is_the_difference():
    spread = inference.Spread(seeds=1.0, rows=0.0, settings=2, runs=6)

    def reach(seeds):
        return (stats.t.ppf(0.975, 2 * seeds - 2) + stats.t.ppf(0.8, 2 * seeds - 2)) * math.sqrt(2 / seeds)

    for seeds in (4, 10, inference.MOST_SEEDS):
        assert inference.seeds_for(spread, reach(seeds)) == inference.seeds_for(spread, -reach(seeds)) == seeds
    assert inference.seeds_for(spread, reach(inference.MOST_SEEDS + 1)) is None
