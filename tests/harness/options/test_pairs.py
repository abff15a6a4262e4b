"""The options of `pairs`: where prompts come from, where pairs go, and what rates them."""

import pytest

from harness.errors import UsageError
from harness.options.cards import make
from harness.options.pairs import PairsOptions

NEEDED = {"to": "mine.jsonl", "suite": "imdb-sentiment"}


def problems_of(**values):
    with pytest.raises(UsageError) as caught:
        make({**NEEDED, **values}, PairsOptions)
    return caught.value.messages


def test_the_defaults_are_the_documented_ones():
    made = make(NEEDED, PairsOptions)
    assert (made.n, made.count, made.score, made.keep, made.temperature, made.seed) == (
        4,
        512,
        "gold",
        "best_worst",
        1.0,
        0,
    )
    assert (made.max_new_tokens, made.precision) == (None, "auto")


def test_prompts_come_from_one_place():
    assert "given: both" in problems_of(prompts="p.csv")[0]
    assert "given: neither" in problems_of(suite="auto", score="gold:imdb-sentiment")[0]


def test_a_suite_file_has_the_ending_that_a_suite_is_read_by():
    assert problems_of(to="mine.csv") == ["to=mine.csv: a suite file ends in .jsonl"]


def test_the_gold_reward_needs_a_suite_that_has_it():
    values = {"suite": "auto", "prompts": "p.csv"}
    assert problems_of(**values)[0].startswith("score=gold is the reward of suite=, and there is none")
    assert make({**NEEDED, **values, "score": "gold:imdb-sentiment"}, PairsOptions).suite is None


@pytest.mark.parametrize(("key", "text"), [("n", "1"), ("count", "0"), ("temperature", "0"), ("top_p", "1.1")])
def test_a_pair_needs_two_completions_that_may_differ(key, text):
    (said,) = problems_of(**{key: text})
    assert said.startswith(f"{key}: {text!r} is not a ")


def test_an_unknown_way_to_keep_pairs_is_told_with_the_two_that_exist():
    assert "Allowed: best_worst, all" in problems_of(keep="best")[0]
