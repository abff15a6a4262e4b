"""The known reward of `imdb-sentiment`: how positive a film review is, in the eyes of a linear classifier.

TF-IDF of words and pairs of words, and a logistic regression; the reward is its logit of "positive". It is
fitted in seconds, to the same numbers each time, on a quarter of the packaged IMDb reviews, none of which
opens a prompt, and on the short Rotten Tomatoes sentences, because completions are short too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from suites.packaged.movie_reviews import Review, read_reviews, revision
from suites.pair import SuiteError
from suites.rewards import get, register_reward
from suites.splits import fraction_of

GOLD_SHARE = 0.25  # of the IMDb reviews; the others open prompts
BEGINNING_WORDS = 60  # of a review: what is rated is short too
WORD = r"[a-z']+"
NGRAMS = (1, 2)
SETTINGS: dict[str, Any] = {
    "gold_share": GOLD_SHARE,
    "beginning_words": BEGINNING_WORDS,
    "words": WORD,
    "ngrams": list(NGRAMS),
    "fewest_texts": 3,
    "tf": "1 + log",
    "C": 4.0,
}
NEEDS = "the known reward of imdb-sentiment needs scikit-learn; install it: pip install 'preference-harness[demo]'"


class Sentiment:
    """The fitted classifier; `id` is a digest of its texts and settings."""

    def __init__(self, texts: Sequence[str], positive: Sequence[bool], identity: str) -> None:
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise SuiteError(NEEDS) from error
        self.id = identity
        self._features: Any = TfidfVectorizer(
            ngram_range=NGRAMS,
            min_df=SETTINGS["fewest_texts"],
            sublinear_tf=True,
            token_pattern=WORD,
        )
        matrix = self._features.fit_transform(texts)
        # liblinear's coordinate descent draws its order from random_state, so the fit is the same each time.
        self._classifier = LogisticRegression(C=SETTINGS["C"], solver="liblinear", random_state=0)
        self._classifier.fit(matrix, list(positive))

    def score(self, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        """Logits [N] of "positive" for each opening with its continuation, as arXiv:2305.18290, section 6.1."""
        whole = [f"{prompt} {answer}" for prompt, answer in zip(prompts, answers, strict=True)]
        if not whole:
            return []
        return [float(logit) for logit in self._classifier.decision_function(self._features.transform(whole))]


@register_reward("imdb-sentiment")
def imdb_sentiment() -> Sentiment:
    """The reward, fitted. Raises: SuiteError when scikit-learn or the package movie-reviews is missing."""
    reviews = [*filter(is_gold, read_reviews("imdb")), *read_reviews("rotten_tomatoes")]
    content = json.dumps([SETTINGS, revision()], sort_keys=True)
    return Sentiment(
        [" ".join(review.text.split()[:BEGINNING_WORDS]) for review in reviews],
        [review.positive for review in reviews],
        f"imdb-sentiment-{hashlib.sha256(content.encode()).hexdigest()[:12]}",
    )


def held_out_accuracy(words: int) -> float:
    """Share of the IMDb reviews that the classifier has not seen whose label it tells from their first words."""
    held_out = [review for review in read_reviews("imdb") if not is_gold(review)]
    beginnings = [" ".join(review.text.split()[:words]) for review in held_out]
    logits = get("imdb-sentiment").score([""] * len(held_out), beginnings)
    return sum((logit > 0) == review.positive for logit, review in zip(logits, held_out, strict=True)) / len(held_out)


def is_gold(review: Review) -> bool:
    """Whether the classifier is fitted on this IMDb review, which then opens no prompt."""
    return fraction_of(review.text) < GOLD_SHARE
