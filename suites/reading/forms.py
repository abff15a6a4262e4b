"""The shapes in which public sets write their rows: pairs of texts or messages, judged completions.

A parser takes the fields of one row and gives a draft's parts, or drops the row under a named rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from suites.pair import Message
from suites.reading.cleaning import Draft, RowDropped, check_answers, check_text
from suites.reading.comparing import coin
from suites.reading.messages import read_prompt, read_side, shared_prompt
from suites.reading.sources import SourceRow

LABELS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


class Texts(NamedTuple):
    """The prompt of a pair and its two completions, not yet checked against each other."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


def pair_texts(fields: Mapping[str, object]) -> Texts:
    """The columns prompt, chosen and rejected, each text or messages.

    Where chosen and rejected hold the whole conversation, they are the source of the prompt, and the column is
    not read: in several sets it repeats only one turn.

    Raises: RowDropped.
    """
    chosen, rejected = (read_side(fields.get(side), side) for side in ("chosen", "rejected"))
    prompt = () if chosen.lead else read_prompt(fields.get("prompt"))
    prompt = shared_prompt(prompt, chosen, rejected)
    return Texts(prompt, chosen.answer, rejected.answer)


def pair_draft(row: SourceRow) -> Draft:
    """A row that names its chosen and rejected completion and has no scores. Raises: RowDropped."""
    texts = pair_texts(row.fields)
    check_answers(texts.chosen, texts.rejected)
    return Draft(row.id, texts.prompt, (texts.chosen, texts.rejected), row.split)


def scored_draft(row: SourceRow, scores: tuple[float, float], ties: str) -> Draft:
    """A row that names its chosen and rejected completion and rates both.

    The columns decide which answer is chosen, whatever the scores say; equal scores are a tie, and under
    ties=half the coin decides.

    Raises: RowDropped.
    """
    texts = pair_texts(row.fields)
    check_answers(texts.chosen, texts.rejected)
    if scores[0] == scores[1] and ties == "drop":
        raise RowDropped("tie", "chosen and rejected have the same score")
    step = -1 if scores[0] == scores[1] and coin(row.id) else 1
    return Draft(row.id, texts.prompt, (texts.chosen, texts.rejected)[::step], row.split, scores=scores)


def example_draft(row: SourceRow) -> Draft:
    """One judged completion: prompt, completion and label. Raises: RowDropped."""
    side = read_side(row.fields.get("completion"), "completion")
    prompt = shared_prompt(read_prompt(row.fields.get("prompt")), side)
    if not side.answer.strip():
        raise RowDropped("empty_side", "completion is empty")
    return Draft(row.id, prompt, (side.answer,), row.split, desirable=read_label(row.fields.get("label")))


def split_or_column(row: SourceRow) -> str | None:
    """The split that the row's file names, else the one of its column: train is train, any other word is test.

    Raises: RowDropped for a column that is no text.
    """
    word = row.fields.get("split")
    if row.split is not None or word is None:
        return row.split
    return "train" if check_text(word, "split") == "train" else "test"


def read_label(value: object) -> bool:
    """Whether a completion is desirable: true, false, 1 or 0, or their text. Raises: RowDropped."""
    label = LABELS.get(str(value).strip().lower())
    if label is None:
        raise RowDropped("malformed", f"label {str(value)[:40]!r} is not one of true, false, 1, 0")
    return label


def question(value: object, what: str, system: object = None) -> tuple[Message, ...]:
    """A prompt of one user message, after a system message where its text is not blank.

    Raises: RowDropped under `malformed`, `not_text` or `empty_prompt`.
    """
    text = check_text(value, what)
    if not text.strip():
        raise RowDropped("empty_prompt", f"{what} is empty")
    said = check_text(system, "system") if system is not None else ""
    lead = (Message("system", said),) if said.strip() else ()
    return (*lead, Message("user", text))
