"""Anthropic hh-rlhf (arXiv:2204.05862): two whole transcripts a row, which differ in the last completion.

Read from the hub, from its offline cache, or from a folder with the hub's own layout. Ids name the
subset, the file's split and the row, so all three ways give the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePosixPath

from suites.pair import Message, Suite, SuiteError
from suites.reading.cleaning import Draft, RowDropped, check_answers, check_text
from suites.reading.layout import Layout, parent_part
from suites.reading.sources import HubSet, SourceRow, build_suite, open_set
from suites.registry import register

HUB = "Anthropic/hh-rlhf"
SUBSETS = ("harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled")
OTHER_COLUMNS = "red-team-attempts"  # a subset of the hub repository that holds no pairs
TURN = re.compile(r"\n\n(Human|Assistant):")
ROLE = {"Human": "user", "Assistant": "assistant"}


def part_of(path: PurePosixPath) -> str | None:
    """The subset of a file: its folder, unless that holds no pairs."""
    part = parent_part(path)
    return None if part == OTHER_COLUMNS else part


SET = HubSet(HUB, Layout({"train": "train", "test": "test"}, part=part_of), {"transcripts": ("chosen", "rejected")})


@register("hh-rlhf", description="helpful and harmless dialogues ranked by people", hub=HUB)
def hh_rlhf(*, path: str | None = None, subset: str | None = None, revision: str | None = None) -> Suite:
    """The pairs of one subset, or of all of them.

    path: a folder with the hub's layout, SUBSET/{train,test}.jsonl.gz (or .jsonl), or one such subset
    folder; without it the hub is asked. subset: one of the hub's folders. revision: a hub commit or tag.

    Splits: where a train file is there, test is the test file and validation a tenth of train, without
    the rows whose first human turn is also in test (`leaks_into_test`); test files alone are cut
    70/10/20 by the first human turn.

    Raises: SuiteError.
    """
    if subset == OTHER_COLUMNS:
        raise SuiteError(f"subset {subset!r} holds no pairs; choose one of {', '.join(SUBSETS)}")
    if path is None and subset is not None and subset not in SUBSETS:
        raise SuiteError(f"unknown subset {subset!r} of {HUB}; allowed: {', '.join(SUBSETS)}")
    everything = None if path is not None else SUBSETS
    opened = open_set(SET, path=path, revision=revision, parts=everything if subset is None else (subset,))
    return build_suite("hh-rlhf", opened, opened.rows, _draft)


def split_transcripts(chosen: str, rejected: str) -> tuple[tuple[Message, ...], str, str]:
    """(prompt, chosen completion, rejected completion) of two transcripts, cut at the last shared assistant turn.

    The prompt is all turns before the last "\\n\\nAssistant:" that both share; texts are stripped of
    surrounding whitespace; neighbouring turns of one speaker become one message, because many chat
    templates refuse two in a row.

    Conventions: both transcripts are treated alike, so a row falls under `diverges_before_last_turn`
    whichever side goes on past the shared turn. The original DPO code cuts at the last assistant turn of
    the chosen transcript, which keeps a turn marker inside the rejected completion in some rows only.

    Raises: RowDropped under `malformed` (a transcript that does not open with a human turn or does not end
    with the assistant's, a completion to no human turn), `diverges_before_last_turn`, `empty_side`,
    `identical`; where several hold, the first of these.
    """
    left, right = _turns(chosen), _turns(rejected)
    if left[-1].role != "assistant" or right[-1].role != "assistant":
        raise RowDropped("malformed", "a transcript ends without the assistant's answer")
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))))
    at = min(shared, len(left) - 1, len(right) - 1)
    while at > 0 and not (left[at].role == right[at].role == "assistant"):
        at -= 1
    if at == 0 or len(left) > at + 1 or len(right) > at + 1:
        raise RowDropped("diverges_before_last_turn", "the transcripts part before their last turn")
    if left[at - 1].role != "user":
        raise RowDropped("malformed", "the last answer follows no human turn")
    check_answers(left[at].content, right[at].content)
    return _merge(left[:at]), left[at].content, right[at].content


def _draft(row: SourceRow) -> Draft:
    texts = [check_text(row.fields.get(side), side) for side in ("chosen", "rejected")]
    prompt, *answers = split_transcripts(*texts)
    return Draft(row.id, prompt, tuple(answers), row.split)


def _turns(transcript: str) -> list[Message]:
    """The turns of one transcript. Raises: RowDropped when it does not open with a human turn."""
    head, *parts = TURN.split("\n\n" + transcript.lstrip())
    turns = [Message(ROLE[speaker], text.strip()) for speaker, text in zip(parts[::2], parts[1::2], strict=True)]
    if head.strip() or not turns or turns[0].role != "user" or not turns[0].content:
        raise RowDropped("malformed", "a transcript does not open with a human turn")
    return turns


def _merge(turns: Sequence[Message]) -> tuple[Message, ...]:
    """One message where a speaker has several turns in a row."""
    merged: list[Message] = []
    for turn in turns:
        if merged and merged[-1].role == turn.role:
            turn = Message(turn.role, f"{merged.pop().content}\n\n{turn.content}".strip())
        merged.append(turn)
    return tuple(merged)
