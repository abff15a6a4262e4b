"""Judges that score, and the two controls."""

import math

import numpy as np

from harness.judges.scored import ScoreJudge, length_judge, random_judge


def test_the_higher_score_wins_equal_ones_tie_and_none_is_invalid():
    judge = ScoreJudge("s", lambda prompts, completions: [math.nan if a == "" else float(len(a)) for a in completions])
    found = judge.compare(["q"] * 4, ["aa", "a", "a", ""], ["a", "aa", "b", "a"])
    assert [v.preference for v in found[:3]] == [1.0, 0.0, 0.5] and not found[3].valid


def test_the_length_control_prefers_the_longer_completion():
    assert [v.preference for v in length_judge().compare(["q"] * 2, ["long one", "x"], ["x", "y"])] == [1.0, 0.5]


def test_the_random_control_is_a_fair_coin_that_always_falls_the_same_way():
    prompts = [str(i) for i in range(2000)]
    a, b = ["left"] * 2000, ["right"] * 2000
    first = np.array([v.preference for v in random_judge().compare(prompts, a, b)])
    again = np.array([v.preference for v in random_judge().compare(prompts, b, a)])
    assert np.array_equal(first, 1 - again)
    assert abs(first.mean() - 0.5) < 4 * 0.5 / math.sqrt(2000)
    assert random_judge().compare(["q"], ["x"], ["x"])[0].preference == 0.5
