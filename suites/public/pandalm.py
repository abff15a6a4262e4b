"""PandaLM's test set (arXiv:2306.05087): completions of small models, each pair judged by three people.

For evaluation only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from suites.pair import Message, Suite
from suites.reading.cleaning import Draft, RowDropped, check_text
from suites.reading.comparing import TIES, choice, compare
from suites.reading.forms import question
from suites.reading.layout import Layout
from suites.reading.sources import HubSet, SourceRow, build_suite, open_set
from suites.registry import register

ANNOTATORS = ("annotator1", "annotator2", "annotator3")
SET = HubSet(
    None,
    Layout({}),
    {
        "judged": ("instruction", "response1", "response2", *ANNOTATORS),
        "pairs": ("prompt", "chosen", "rejected", "meta"),
    },
    "The file is data/testset-v1.json of github.com/WeOpenML/PandaLM.",
)


@register("pandalm", description="pairs with the votes of three people each; evaluation only")
def pandalm(*, path: str | None = None, ties: str = "drop") -> Suite:
    """The pairs, all of them test rows; agreement is the share of the three votes for the chosen completion.

    The majority of the votes (1, 2, or 0 for a tie) decides; a majority for 0, or three different votes, is a
    tie. ties: drop or half.

    Raises: SuiteError.
    """
    choice("ties", ties, TIES)
    opened = open_set(SET, path=path, revision=None)
    build = _judged if opened.form == "judged" else _pair
    return build_suite("pandalm", opened, opened.rows, lambda row: build(row, ties), evaluation_only=True)


class Votes(NamedTuple):
    """better: the one that more than half prefer, 1 or 2, or 0 for a tie or no majority. shares: of votes for each."""

    better: int
    shares: tuple[float, float]


def tally_votes(votes: object) -> Votes:
    """What three votes say.

    Raises: RowDropped for votes that are not three of 0, 1, 2.
    """
    if not isinstance(votes, list) or len(votes) != 3 or not all(vote in (0, 1, 2) for vote in votes):
        raise RowDropped("malformed", "the votes are not three of 0, 1 and 2")
    vote, count = Counter(votes).most_common(1)[0]
    return Votes(int(vote) if count >= 2 else 0, (votes.count(1) / 3, votes.count(2) / 3))


def _judged(row: SourceRow, ties: str) -> Draft:
    """A row as published: some completions are truth values there, which are taken as their text."""
    fields = row.fields
    answers = (_as_text(fields.get("response1")), _as_text(fields.get("response2")))
    given = fields.get("input")
    text = check_text(fields.get("instruction"), "instruction")
    if given is not None and check_text(_as_text(given), "input").strip():
        text = f"{text}\n\n{_as_text(given)}"
    return _compare(row, question(text, "instruction"), answers, [fields.get(key) for key in ANNOTATORS], ties)


def _pair(row: SourceRow, ties: str) -> Draft:
    """A row with chosen and rejected; meta.chosen_is says which of the two judged completions is the chosen one.

    Raises: RowDropped.
    """
    fields, given = row.fields, row.fields.get("meta")
    meta: Mapping[str, object] = given if isinstance(given, Mapping) else {}
    place = meta.get("chosen_is")
    if place not in (1, 2):
        raise RowDropped("malformed", "meta.chosen_is is neither 1 nor 2")
    chosen, rejected = fields.get("chosen"), fields.get("rejected")
    answers = (chosen, rejected) if place == 1 else (rejected, chosen)
    return _compare(row, question(fields.get("prompt"), "prompt"), answers, meta.get("votes"), ties)


def _compare(
    row: SourceRow, prompt: tuple[Message, ...], answers: tuple[object, object], votes: object, ties: str
) -> Draft:
    found = tally_votes(votes)
    return compare(row.id, prompt, answers, {1: 1, 2: -1, 0: 0}[found.better], ties, agreements=found.shares)


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, bool) else value
