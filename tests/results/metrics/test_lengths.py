"""What length does to the metrics: a change in log-prob alone, a preference alone, and both by hand."""

import numpy as np
import pytest

from results import metrics


def test_a_uniform_drift_moves_length_bias_and_no_preference(pair_table):
    # Margins -7, -5 ... 7 among the longer and among the shorter: 4 of 8 are right in each. A change of -0.02 nats
    # a token adds -0.02 * 100 = -2 where the chosen answer is 100 tokens longer, so 3 of 8 are right, and +2 where
    # it is shorter: 5 of 8.
    def table(change):
        return pair_table(
            [
                (-100 + h + change * nc, -100 + change * nr, -100, -100, nc, nr)
                for nc, nr in ((150, 50), (50, 150))
                for h in range(-7, 8, 2)
            ]
        )

    before, after = table(0.0), table(-0.02)
    assert metrics.length_bias(before) == 0
    assert metrics.length_bias(after) == pytest.approx(3 / 8 - 5 / 8)
    assert metrics.margin_preference_part(after) == pytest.approx(metrics.margin_preference_part(before))
    assert metrics.mean_ratio_accuracy(after) == metrics.mean_ratio_accuracy(before)
    assert metrics.accuracy_length_balanced(after) == metrics.accuracy_length_balanced(before) == 0.5
    assert metrics.length_slope(before) == pytest.approx(0)
    assert metrics.length_slope(after) < -1


def test_the_length_bias_of_the_preference_part_is_that_of_length_normalized_accuracy(pair_table):
    random = np.random.default_rng(0)
    pairs = pair_table(
        [
            (-50 + x, -50 + y, -50, -50, nc, nr)
            for x, y, nc, nr in zip(
                random.normal(0, 5, 60),
                random.normal(0, 5, 60),
                random.integers(5, 40, 60),
                random.integers(5, 40, 60),
                strict=True,
            )
        ]
    )
    part = metrics.estimate("length_bias_preference_part", pairs)
    normalized = metrics.estimate("reward_length_bias", pairs, reward="mean_log_ratio")
    assert part == pytest.approx(normalized) and part.se > 0


def test_a_uniform_drift_is_all_length_part(pair_table):
    falling = pair_table([(-10 - 0.1 * nc, -10 - 0.1 * nr, -10, -10, nc, nr) for nc, nr in ((20, 10), (9, 30), (8, 4))])
    assert metrics.length_bias_length_part(falling) == -1
    assert metrics.margin_preference_part(falling) == pytest.approx(0)


def test_the_two_parts_of_a_margin_by_hand(pair_table):
    # a = 6 over 3 tokens, d = -4 over 1: per token 2 and -4, difference 6 times mean length 2, mean -1 times 2 tokens.
    pairs = pair_table([(-4, -14, -10, -10, 3, 1)])
    assert metrics.margin_preference_part(pairs) == 12 and metrics.margin_length_part(pairs) == -2
    assert metrics.margin(pairs) == 12 - 2


def test_equal_lengths_count_on_neither_side(pair_table):
    # Right where longer, wrong where shorter; the pair of equal lengths is wrong and changes neither.
    pairs = pair_table([(-9, -10, -10, -10, 6, 5), (-11, -10, -10, -10, 5, 6), (-11, -10, -10, -10, 5, 5)])
    assert metrics.accuracy_chosen_longer(pairs) == 1 and metrics.accuracy_chosen_shorter(pairs) == 0
    right = pair_table([(-9, -10, -10, -10, 6, 5), (-11, -10, -10, -10, 5, 6), (-9, -10, -10, -10, 5, 5)])
    assert metrics.length_bias(right) == metrics.length_bias(pairs) == 1


def test_pairs_of_equal_length_are_neither_longer_nor_shorter(pair_table):
    equal = pair_table([(-9, -10, -10, -10, 5, 5), (-11, -10, -10, -10, 7, 7)])
    assert metrics.pairs_chosen_longer(equal) == metrics.pairs_chosen_shorter(equal) == 0
    assert np.isnan(metrics.length_bias(equal)) and np.isnan(metrics.length_slope(equal))
    assert metrics.longer_wins_baseline(equal) == 0.5


def test_a_scorer_that_likes_length_has_the_whole_bias(pair_table):
    rows = [(-10 + (nc > nr) - (nc < nr), -10, -10, -10, nc, nr) for nc, nr in ((9, 3), (8, 2), (3, 9))]
    liking = pair_table(rows)
    assert metrics.length_bias(liking) == 1 and metrics.accuracy_length_balanced(liking) == 0.5
    assert metrics.preference_accuracy(liking) == metrics.longer_wins_baseline(liking)
