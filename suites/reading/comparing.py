"""Two completions and a verdict become a draft: which is chosen, what a tie does, what is compared with what."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from suites.pair import Message, SuiteError
from suites.reading.cleaning import Draft, RowDropped, check_answers, check_text

TIES = ("drop", "half")
ANSWERS = ("all", "best_worst")


class Comparison(NamedTuple):
    """Two of a prompt's rated completions, before their texts are checked; or the reason why there are none."""

    id: str
    prompt: object
    answers: tuple[object, object] = ("", "")
    ratings: tuple[float, float] = (0.0, 0.0)
    split: str | None = None
    problem: RowDropped | None = None


def choice(key: str, value: str, allowed: Sequence[str]) -> str:
    """A setting that is one of a few words. Raises: SuiteError."""
    if value not in allowed:
        raise SuiteError(f"suite.{key}={value}: allowed: {', '.join(allowed)}")
    return value


def number(value: object, what: str) -> float:
    """A finite number, as a number or its text. Raises: RowDropped under `malformed`."""
    try:
        given: Any = value  # what float() takes is tried, not listed
        found = math.nan if isinstance(value, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise RowDropped("malformed", f"{what} {str(value)[:40]!r} is not a finite number")
    return found


def compare(
    row_id: str,
    prompt: tuple[Message, ...],
    answers: tuple[object, object],
    preference: float,
    ties: str,
    *,
    scores: tuple[float | None, float | None] = (None, None),
    agreements: tuple[float, float] | None = None,
    split: str | None = None,
    cluster: str | None = None,
) -> Draft:
    """The draft of a comparison: preference > 0 for the first completion, < 0 for the second, 0 for a tie.

    ties=drop removes a tie under the rule `tie`. ties=half keeps it with a direction thrown by a fair coin
    (the parity of the sha256 of the row's id), so that a model which prefers either completion is right in one
    half of the ties on average. scores and agreements (the share of votes for each) follow the completions' order.

    Raises: RowDropped; what is wrong with the texts comes before `tie`.
    """
    first, second = (check_text(answer, f"answer {place}") for place, answer in enumerate(answers, start=1))
    check_answers(first, second)
    if preference == 0 and ties == "drop":
        raise RowDropped("tie", "neither answer is preferred")
    if preference < 0 or (preference == 0 and coin(row_id)):
        first, second, scores = second, first, (scores[1], scores[0])
        agreements = (agreements[1], agreements[0]) if agreements else None
    share = agreements[0] if agreements else None
    return Draft(row_id, prompt, (first, second), split, cluster, scores, agreement=share)


def coin(row_id: str) -> bool:
    """A fair coin that falls the same way for a row wherever it is thrown."""
    return bool(hashlib.sha256(f"tie/{row_id}".encode()).digest()[0] % 2)


def matches(ratings: Sequence[float], answers: str) -> Iterator[tuple[int, int]]:
    """Which of n rated completions are compared: `all` pairs, or `best_worst`, the first best with the first worst.

    Where all ratings are equal, best_worst compares the first two: a tie, to be treated as any other.
    """
    if answers == "all" or len(set(ratings)) < 2:
        pairs = combinations(range(len(ratings)), 2)
        yield from pairs if answers == "all" else list(pairs)[:1]
        return
    places = range(len(ratings))
    yield max(places, key=lambda place: ratings[place]), min(places, key=lambda place: ratings[place])


def rated(
    row_id: str, prompt: object, answers: Sequence[object], ratings: Sequence[object], how: str, split: str | None
) -> Iterator[Comparison]:
    """The comparisons among a prompt's rated completions, `how` as in `matches`; ids add the completions' places.

    A prompt without two completions (`single_answer`), or with a rating that is no number (`malformed`), is one
    comparison that carries its problem, so that it is counted.
    """
    try:
        values = _numbers(answers, ratings)
    except RowDropped as problem:
        yield Comparison(row_id, prompt, problem=problem)
        return
    for one, two in matches(values, how):
        pair = (answers[one], answers[two])
        yield Comparison(f"{row_id}/{one}-{two}", prompt, pair, (values[one], values[two]), split)


def _numbers(answers: Sequence[object], ratings: Sequence[object]) -> list[float]:
    """The ratings of two or more completions. Raises: RowDropped."""
    if len(answers) != len(ratings):
        raise RowDropped("malformed", f"{len(answers)} answers, but {len(ratings)} ratings")
    if len(answers) < 2:
        raise RowDropped("single_answer", "there is no second answer to compare with")
    return [number(rating, "a rating") for rating in ratings]


def comparison_draft(row: Comparison, read_prompt: Callable[[object], tuple[Message, ...]], ties: str) -> Draft:
    """The draft of two rated completions: the higher rating is chosen. Raises: RowDropped."""
    if row.problem:
        raise row.problem
    one, two = row.ratings
    return compare(row.id, read_prompt(row.prompt), row.answers, one - two, ties, scores=row.ratings, split=row.split)
