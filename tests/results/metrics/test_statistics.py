"""Standard errors against arithmetic done by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from results.metrics import statistics


def test_mean_with_singleton_clusters_has_the_textbook_error():
    found = statistics.mean(np.array([1.0, 2.0, 6.0]), np.array([0, 1, 2]))
    assert found.value == pytest.approx(3)
    assert found.se == pytest.approx(math.sqrt((4 + 1 + 9) / 2 / 3))


def test_rows_of_one_cluster_count_as_one_observation():
    # Deviations from 3: (-2, -1) in the first cluster, (0, 3) in the second; sums -3 and 3.
    found = statistics.mean(np.array([1.0, 2.0, 3.0, 6.0]), np.array([0, 0, 1, 1]))
    assert found.se == pytest.approx(math.sqrt(2 / 1 * (9 + 9) / 4**2))


def test_copying_every_row_into_its_cluster_adds_no_certainty():
    values, clusters = np.array([1.0, 2.0, 6.0, 7.0]), np.arange(4)
    once = statistics.mean(values, clusters)
    twice = statistics.mean(np.tile(values, 2), np.tile(clusters, 2))
    as_if_independent = statistics.mean(np.tile(values, 2), np.arange(8))
    assert twice.se == pytest.approx(once.se)
    assert twice.se > 1.3 * as_if_independent.se


@pytest.mark.parametrize("clusters", [np.array([5, 5, 5]), None])
def test_no_error_is_stated_without_two_clusters(clusters):
    found = statistics.mean(np.array([1.0, 2.0, 3.0]), clusters)
    assert found.value == 2 and math.isnan(found.se)


@pytest.mark.filterwarnings("error")
def test_mean_of_nothing_is_missing_and_that_of_one_row_has_no_error():
    nothing, nobody = np.array([]), np.array([], dtype=int)
    assert all(map(math.isnan, statistics.mean(nothing, nobody)))
    assert math.isnan(statistics.clustered_se(nothing, nobody, 1))
    one = statistics.mean(np.array([5.0]), np.array([0]))
    assert one.value == 5 and math.isnan(one.se)


def test_an_interval_is_students_from_one_degree_of_freedom_on_and_the_normal_one_by_default():
    assert statistics.interval(statistics.Estimate(3.0, 2.0)) == pytest.approx((3 - 1.959964 * 2, 3 + 1.959964 * 2))
    assert statistics.interval(statistics.Estimate(3.0, 2.0), 1) == pytest.approx(
        (3 - 12.7062047 * 2, 3 + 12.7062047 * 2)
    )
    for found, degrees in ((statistics.Estimate(3.0, 2.0), 0.5), (statistics.Estimate(3.0), 4)):
        assert all(map(math.isnan, statistics.interval(found, degrees)))


@pytest.mark.filterwarnings("error")
def test_a_standard_deviation_has_the_divisor_of_a_sample():
    assert statistics.standard_deviation(np.array([1.0, 2.0, 6.0])) == pytest.approx(math.sqrt(14 / 2))
    assert statistics.standard_deviation(np.array([1.0, 3.0])) == pytest.approx(math.sqrt(2))
    assert math.isnan(statistics.standard_deviation(np.array([1.0])))


def test_one_value_and_none_do_not_vary():
    assert statistics.is_constant(np.array([2.0])) and statistics.is_constant(np.array([]))
    assert not statistics.is_constant(np.array([2.0, 2.0, 3.0])) and not statistics.is_constant(
        np.array([3.0, 2.0, 2.0])
    )


def test_difference_of_means_by_hand():
    # Means 0.5 and 1. Influences 0.5, -0.5 (halves of 1/2), 0, 0; factor 4/3 * (4 - 1)/(4 - 2) = 2; the fifth row is in
    # no group.
    values = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    first, second = np.array([True, True, False, False, False]), np.array([False, False, True, True, False])
    found = statistics.contrast(values, (first, second), (1, -1), np.arange(5))
    assert found.value == pytest.approx(-0.5)
    assert found.se == pytest.approx(math.sqrt(2 * 0.125))


def test_a_contrast_has_no_error_where_one_group_lies_in_a_single_cluster():
    values, groups = np.array([1.0, 0.0, 1.0, 0.0]), (np.arange(4) < 2, np.arange(4) >= 2)
    found = statistics.contrast(values, groups, (1, -1), np.array([0, 1, 2, 2]))
    assert found.value == 0.0 and math.isnan(found.se)


def test_a_cluster_in_both_groups_cancels_in_their_difference_and_adds_in_their_sum():
    # Each cluster has one row in each group with the same value: the difference is exactly 0 in every cluster.
    values, clusters = np.array([1.0, 3.0, 1.0, 3.0]), np.array([0, 1, 0, 1])
    groups = np.array([True, True, False, False]), np.array([False, False, True, True])
    assert statistics.contrast(values, groups, (1, -1), clusters) == (0, 0)
    # Balanced mean: influences -0.25, 0.25 twice; cluster sums -0.5, 0.5; factor 2 * 3/2.
    assert statistics.contrast(values, groups, (0.5, 0.5), clusters).se == pytest.approx(math.sqrt(3 * 0.5))


def test_a_contrast_with_an_empty_group_is_missing():
    nobody, all_rows = np.zeros(2, dtype=bool), np.ones(2, dtype=bool)
    found = statistics.contrast(np.array([1.0, 2.0]), (all_rows, nobody), (1, -1), np.arange(2))
    assert math.isnan(found.value) and math.isnan(found.se)


def test_slope_by_hand():
    # y = (0, 0, 3) on x = (-1, 0, 1): slope 3/2, residuals 1/2, -1, 1/2, influences -1/4, 0, 1/4, factor 3.
    x, y = np.array([-1.0, 0.0, 1.0]), np.array([0.0, 0.0, 3.0])
    found = statistics.slope(x, y, np.arange(3))
    assert found.value == pytest.approx(1.5)
    assert found.se == pytest.approx(math.sqrt(3 * 2 / 16))
    moved = statistics.slope(x + 5, y, np.arange(3))
    assert moved == pytest.approx(found)
    two = statistics.slope(x[:2], y[1:], np.arange(2))  # two points leave nothing to tell the error from
    assert two.value == pytest.approx(3) and math.isnan(two.se)


def test_slope_and_correlations_on_a_constant_are_missing_without_a_warning():
    constant, varying = np.ones(3), np.arange(3.0)
    with np.errstate(all="raise"):
        assert math.isnan(statistics.slope(constant, varying, np.arange(3)).value)
        assert math.isnan(statistics.correlation(constant, varying))
        assert math.isnan(statistics.rank_correlation(varying, constant))


def test_rank_correlation_sees_order_only():
    assert statistics.rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0, 100.0])) == pytest.approx(1)
    # Ranks (1.5, 1.5, 3) and (1, 2, 3): covariance 1.5, variances 1.5 and 2.
    tied = statistics.rank_correlation(np.array([0.0, 0.0, 5.0]), np.array([1.0, 2.0, 3.0]))
    assert tied == pytest.approx(1.5 / math.sqrt(3))


def test_equal_names_are_one_cluster():
    codes = statistics.cluster_codes(pd.Series(["x", "y", "x", "z"]))
    assert codes.tolist() == [0, 1, 0, 2]
