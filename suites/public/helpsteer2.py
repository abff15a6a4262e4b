"""nvidia/HelpSteer2: completions rated by people (arXiv:2406.08673), and compared by them (arXiv:2410.01257).

rated       one answer a row, helpfulness 0 to 4; neighbouring rows have the same prompt
preference  two completions a row, preference_strength -3 to 3, negative where the first is better
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from suites.pair import Message, Suite
from suites.reading.cleaning import Draft, RowDropped, check_text
from suites.reading.comparing import ANSWERS, TIES, Comparison, choice, compare, comparison_draft, number, rated
from suites.reading.forms import split_or_column
from suites.reading.layout import Layout
from suites.reading.sources import HubSet, SourceRow, build_suite, open_set
from suites.registry import register

HUB = "nvidia/HelpSteer2"
FORMS = {
    "preference": ("prompt", "response_1", "response_2", "preference_strength"),
    "rated": ("prompt", "response", "helpfulness"),
}
HELD_OUT = {"train": "train", "validation": "test"}
SETS = {
    "rated": HubSet(HUB, Layout(HELD_OUT), FORMS),
    "preference": HubSet(HUB, Layout({}, folder="preference"), FORMS),
}
MARKER = re.compile(r"\n?<extra_id_1>(User|Assistant)\n?")  # between the turns of a longer prompt
ROLE = {"User": "user", "Assistant": "assistant"}


@register("helpsteer2", description="answers rated or compared by people, with the strength of preference", hub=HUB)
def helpsteer2(
    *,
    path: str | None = None,
    form: str | None = None,
    revision: str | None = None,
    answers: str = "all",
    ties: str = "drop",
) -> Suite:
    """The pairs of one form, with scores.

    form: rated (the default on the hub) makes pairs of the neighbouring rows of a prompt, the more helpful
    completion chosen and helpfulness as scores; preference takes the comparisons, with half the strength on either
    side as scores and the share of the annotators as agreement. From files the columns decide. answers: all
    or best_worst, where a prompt has more than two rated completions. ties: drop or half.

    Raises: SuiteError.
    """
    choice("ties", ties, TIES)
    choice("answers", answers, ANSWERS)
    opened = open_set(SETS[choice("form", form or "rated", tuple(SETS))], path=path, revision=revision)
    if opened.form == "rated":
        rows = _neighbours(opened.rows, answers)
        return build_suite("helpsteer2", opened, rows, lambda row: comparison_draft(row, turns, ties))
    return build_suite("helpsteer2", opened, opened.rows, lambda row: _preference(row, ties))


def turns(prompt: object) -> tuple[Message, ...]:
    """The messages of a prompt, in which markers part the turns. Raises: RowDropped."""
    first, *rest = MARKER.split(check_text(prompt, "prompt"))
    said = [("User", first), *zip(rest[::2], rest[1::2], strict=True)]
    messages = tuple(Message(ROLE[speaker], text) for speaker, text in said)
    if not any(message.content.strip() for message in messages if message.role == "user"):
        raise RowDropped("empty_prompt", "the prompt is empty")
    if messages[-1].role != "user":
        raise RowDropped("malformed", "the prompt does not end with the user's turn")
    return messages


def strength_draft(
    row: SourceRow,
    prompt: tuple[Message, ...],
    answers: tuple[object, object],
    strength: float,
    votes: Sequence[float],
    ties: str,
    split: str | None,
) -> Draft:
    """A comparison of graded strength, negative where the first completion is better, with single votes.

    Raises: RowDropped.
    """
    shares = None
    if votes:
        shares = (sum(vote < 0 for vote in votes) / len(votes), sum(vote > 0 for vote in votes) / len(votes))
    scores = (0.0 - strength / 2, strength / 2)
    return compare(row.id, prompt, answers, -strength, ties, scores=scores, agreements=shares, split=split)


def read_votes(value: object, key: str) -> list[float]:
    """The numbers under a key of a list of objects; no votes where the column is empty. Raises: RowDropped."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise RowDropped("malformed", "the single preferences are no list")
    votes = [item.get(key) if isinstance(item, Mapping) else item for item in value]
    return [number(vote, key) for vote in votes if vote is not None]


def _neighbours(rows: Iterable[SourceRow], how: str) -> Iterator[Comparison]:
    """The comparisons of neighbouring rows with one prompt."""
    for (split, prompt), group in groupby(rows, key=lambda row: (row.split, row.fields.get("prompt"))):
        answered = list(group)
        answers = [row.fields.get("response") for row in answered]
        ratings = [row.fields.get("helpfulness") for row in answered]
        yield from rated(answered[0].id, prompt, answers, ratings, how, split)


def _preference(row: SourceRow, ties: str) -> Draft:
    fields = row.fields
    split = split_or_column(row)
    return strength_draft(
        row,
        turns(fields.get("prompt")),
        (fields.get("response_1"), fields.get("response_2")),
        number(fields.get("preference_strength"), "preference_strength"),
        read_votes(fields.get("all_preferences_unprocessed"), "strength"),
        ties,
        split,
    )
