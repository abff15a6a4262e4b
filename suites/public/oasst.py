"""OpenAssistant conversations (arXiv:2304.07327): replies to one message, ranked by people.

messages  the hub's rows, one message each, with its parent and its rank among its siblings
trees     one conversation tree a row, as in the *.trees.jsonl.gz files
pairs     prompt, chosen, rejected already made of ranked siblings, ranks in meta
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from suites.pair import Message, Suite
from suites.reading.cleaning import Draft, RowDropped, check_answers, check_text
from suites.reading.comparing import ANSWERS, Comparison, choice, comparison_draft, matches, number
from suites.reading.forms import pair_texts
from suites.reading.layout import Layout
from suites.reading.sources import HubSet, SourceRow, build_suite, open_set
from suites.registry import register

HUB = "OpenAssistant/oasst1"
FORMS = {
    "messages": ("message_id", "parent_id", "text", "role", "rank"),
    "trees": ("message_tree_id", "prompt"),
    "pairs": ("prompt", "chosen", "rejected", "meta"),
}
SET = HubSet(HUB, Layout({"train": "train", "validation": "test"}), FORMS)
ROLE = {"prompter": "user", "assistant": "assistant"}


class _Reply(NamedTuple):
    """A ranked reply: its id, its text as the row has it, its negative rank, and its split."""

    name: str
    text: object
    score: float
    split: str | None


@register("oasst", description="conversation trees with replies ranked by volunteers, multi-turn", hub=HUB)
def oasst(
    *, path: str | None = None, revision: str | None = None, answers: str = "all", language: str | None = None
) -> Suite:
    """Pairs of sibling replies, the one of the better rank chosen; the negative rank (0 is best) is the score.

    answers: all pairs of siblings, or best_worst. language: only replies with that code (en, es, zh, ...), in
    the forms that tell it; the others are no comparisons and are not counted. The prompt is the whole thread
    that leads to the replies. Unranked and deleted replies take no part.

    Raises: SuiteError.
    """
    choice("answers", answers, ANSWERS)
    opened = open_set(SET, path=path, revision=revision)
    if opened.form == "pairs":
        return build_suite("oasst", opened, _best_worst(opened.rows) if answers == "best_worst" else opened.rows, _pair)
    messages = opened.rows if opened.form == "messages" else _flat(opened.rows)
    rows = _comparisons(messages, answers, language)
    return build_suite("oasst", opened, rows, lambda row: comparison_draft(row, _thread, "drop"))


def _flat(trees: Iterable[SourceRow]) -> Iterator[SourceRow]:
    """The messages of trees, each with the id of its parent; a stack, because threads can be long."""
    for tree in trees:
        waiting = [(tree.fields.get("prompt"), None)]
        while waiting:
            message, parent = waiting.pop()
            if not isinstance(message, Mapping):
                yield SourceRow(tree.id, tree.part, tree.split, {})
                continue
            replies = message.get("replies") or []
            yield SourceRow(tree.id, tree.part, tree.split, {**message, "parent_id": parent, "replies": None})
            if isinstance(replies, list):
                waiting += [(reply, message.get("message_id")) for reply in reversed(replies)]


def _comparisons(rows: Iterable[SourceRow], how: str, language: str | None) -> Iterator[Comparison]:
    """The comparisons of ranked siblings; a message without an id, or a repeated one, is counted as malformed."""
    known: dict[str, SourceRow] = {}
    siblings: dict[str, list[_Reply]] = {}
    for row in rows:
        name, parent = row.fields.get("message_id"), row.fields.get("parent_id")
        if not isinstance(name, str) or name in known:
            yield Comparison(row.id, None, problem=RowDropped("malformed", "a message needs a message_id of its own"))
            continue
        known[name] = row
        score = _score(row.fields, language)
        if isinstance(parent, str) and score is not None:
            siblings.setdefault(parent, []).append(_Reply(name, row.fields.get("text"), score, row.split))
    for parent, replies in siblings.items():
        for one, two in matches([reply.score for reply in replies], how):
            left, right = replies[one], replies[two]
            pair = (left.text, right.text)
            yield Comparison(f"{left.name}/{right.name}", (known, parent), pair, (left.score, right.score), left.split)


def _score(fields: Mapping[str, object], language: str | None) -> float | None:
    """The negative rank of a reply, 0 best; None for a message that takes no part."""
    rank = fields.get("rank")
    if isinstance(rank, bool) or not isinstance(rank, int | float) or not math.isfinite(rank):
        return None
    there = fields.get("role") == "assistant" and not fields.get("deleted")
    return 0.0 - rank if there and language in (None, fields.get("lang")) else None


def _thread(place: Any) -> tuple[Message, ...]:
    """The messages from the root to a parent; place: all messages by id, and the parent's id.

    Raises: RowDropped where the thread is cut or runs in a circle.
    """
    known: Mapping[str, SourceRow]
    name: object
    known, name = place
    messages: list[Message] = []
    passed: set[object] = set()
    while name is not None:
        row = known.get(name) if isinstance(name, str) else None
        said = row.fields.get("role") if row else None
        role = ROLE.get(said) if isinstance(said, str) else None
        if row is None or role is None or name in passed:
            raise RowDropped("malformed", "the thread above the replies is not whole")
        passed.add(name)
        messages.append(Message(role, check_text(row.fields.get("text"), "text")))
        name = row.fields.get("parent_id")
    if messages[0].role != "user" or not messages[0].content.strip():
        raise RowDropped("malformed", "the replies answer no message of a user")
    return tuple(reversed(messages))


def _pair(row: SourceRow) -> Draft:
    texts = pair_texts(row.fields)
    check_answers(texts.chosen, texts.rejected)
    first, second = (None if rank is None else 0.0 - rank for rank in _ranks(row))
    return Draft(row.id, texts.prompt, (texts.chosen, texts.rejected), row.split, scores=(first, second))


def _ranks(row: SourceRow) -> tuple[float | None, float | None]:
    """The ranks of chosen and rejected, 0 best; None where the row does not tell them. Raises: RowDropped."""
    meta = row.fields.get("meta")
    found = [meta.get(key) if isinstance(meta, Mapping) else None for key in ("rank_chosen", "rank_rejected")]
    first, second = (None if rank is None else number(rank, "a rank") for rank in found)
    if first is not None and second is not None and first >= second:
        raise RowDropped("malformed", "rank_chosen is not better than rank_rejected")
    return first, second


def _best_worst(rows: Iterable[SourceRow]) -> Iterator[SourceRow]:
    """Of the neighbouring pairs of one prompt, the one whose ranks lie farthest apart."""
    for _, group in groupby(rows, key=lambda row: row.fields.get("prompt")):
        yield max(group, key=_distance)


def _distance(row: SourceRow) -> float:
    try:
        first, second = _ranks(row)
    except RowDropped:
        return -1.0
    return -1.0 if first is None or second is None else second - first
