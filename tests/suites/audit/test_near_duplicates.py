"""Near duplicates are found by word 5-grams, and nothing else is."""

import random

import numpy
import pytest

from suites.audit.near_duplicates import BANDS, candidates, keys, similarity

WORDS = [f"w{n}" for n in range(2_000)]


def text(seed: int, length: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def changed(original: str) -> str:
    """One word of the text is another: of 56 shingles at most 5 are new."""
    words = original.split()
    words[0] = "other"
    return " ".join(words)


def test_similarity_is_the_share_of_common_shingles():
    assert similarity("a b c d e f", "A b, c d e! f") == 1
    assert similarity("a b c d e f", "a b c d e g") == pytest.approx(1 / 3)  # abcde of abcde, bcdef, bcdeg
    assert similarity("too short", "too short") == 1
    assert similarity("too short", "too long") == 0
    assert similarity("", "") == 1


def test_letters_of_scripts_without_spaces_are_words():
    assert similarity("今天天气很好吗", "今天天气很好吧") == pytest.approx(2 / 4)


def test_a_text_with_one_word_changed_is_a_candidate_and_others_are_not():
    texts = [text(seed) for seed in range(300)] + [changed(text(seed)) for seed in range(300)]
    found = candidates(keys(texts), numpy.arange(300, 600), numpy.arange(300))
    assert len(found) >= 295  # 56 shingles, one of which differs: similarity 0.96
    assert all(one - 300 == other for one, other in found)


def test_equal_short_and_empty_texts_are_candidates():
    sketches = keys(["", "yes", "no", "", "yes"])
    assert candidates(sketches, numpy.array([3, 4]), numpy.array([0, 1, 2])) == [(3, 0), (4, 1)]


def test_the_keys_do_not_depend_on_how_texts_are_chunked_or_on_the_process():
    texts = [text(seed, seed) for seed in range(40)]
    assert (keys(texts) == numpy.concatenate([keys([one]) for one in texts])).all()
    # One value for ever: an audit that is stored is compared with later ones.
    assert keys(["the quick brown fox jumps over the lazy dog"])[0, 0] == 7984604362762803245


def test_no_texts_have_no_keys():
    assert keys([]).shape == (0, BANDS)
    assert candidates(keys(["a"]), numpy.array([0]), numpy.array([], dtype=int)) == []


def test_thousands_of_equal_texts_give_one_candidate_each():
    sketches = keys(["say hello to the nice people there"] * 2_000)
    assert len(candidates(sketches, numpy.arange(1_000, 2_000), numpy.arange(1_000))) == 1_000
