"""Two answers and a verdict: directions, ties, what is compared with what."""

import pytest

from suites import Message, SuiteError
from suites.reading.cleaning import RowDropped
from suites.reading.comparing import choice, coin, compare, matches, number, rated

PROMPT = (Message("user", "Tea?"),)


def test_the_sign_decides_and_scores_and_votes_follow_the_answers():
    for preference, chosen, scores, share in ((2, "a", (1.0, 0.0), 0.75), (-1, "b", (0.0, 1.0), 0.25)):
        draft = compare("x", PROMPT, ("a", "b"), preference, "drop", scores=(1.0, 0.0), agreements=(0.75, 0.25))
        assert (draft.answers[0], draft.scores, draft.agreement) == (chosen, scores, share)


def test_a_tie_is_dropped_or_kept_with_a_fair_and_lasting_direction():
    with pytest.raises(RowDropped) as dropped:
        compare("x", PROMPT, ("a", "b"), 0, "drop")
    assert dropped.value.rule == "tie"
    kept = [compare(f"row/{n}", PROMPT, ("a", "b"), 0, "half").answers for n in range(2000)]
    assert kept == [compare(f"row/{n}", PROMPT, ("a", "b"), 0, "half").answers for n in range(2000)]
    assert {*kept} == {("a", "b"), ("b", "a")}
    assert abs(kept.count(("a", "b")) - 1000) < 100  # four standard errors are 89
    assert [answers[0] == "b" for answers in kept] == [coin(f"row/{n}") for n in range(2000)]


def test_what_is_wrong_with_the_texts_comes_before_a_tie():
    for answers, rule in (((" ", "b"), "empty_side"), (("a", "a "), "identical"), ((None, "b"), "malformed")):
        for ties in ("drop", "half"):
            with pytest.raises(RowDropped) as dropped:
                compare("x", PROMPT, answers, 0, ties)
            assert dropped.value.rule == rule


@pytest.mark.parametrize(
    ("ratings", "how", "expected"),
    [
        ((3, 1, 2), "all", [(0, 1), (0, 2), (1, 2)]),
        ((3, 1, 2), "best_worst", [(0, 1)]),
        ((1, 3, 3, 1), "best_worst", [(1, 0)]),
        ((2, 2, 2), "best_worst", [(0, 1)]),
        ((2, 2), "all", [(0, 1)]),
    ],
)
def test_all_pairs_or_the_best_against_the_worst(ratings, how, expected):
    assert list(matches(ratings, how)) == expected


def test_prompts_without_a_comparison_carry_their_problem():
    for answers, ratings, rule in (
        (["a"], [1], "single_answer"),
        (["a", "b"], [1], "malformed"),
        (["a", "b"], [1, "x"], "malformed"),
    ):
        (only,) = rated("r", "p", answers, ratings, "all", "train")
        assert (only.id, only.problem.rule) == ("r", rule)
    assert [one.id for one in rated("r", "p", "abc", [1, 2, 3], "all", None)] == ["r/0-1", "r/0-2", "r/1-2"]


def test_numbers_and_choices_are_checked():
    assert [number(value, "n") for value in (1, "2.5", -3.0)] == [1.0, 2.5, -3.0]
    for wrong in (None, "x", True, float("nan"), float("inf"), [], 10**400):
        with pytest.raises(RowDropped):
            number(wrong, "n")
    with pytest.raises(SuiteError, match="suite.ties=keep: allowed: drop, half"):
        choice("ties", "keep", ("drop", "half"))
