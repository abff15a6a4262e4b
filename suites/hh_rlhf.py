"""Anthropic hh-rlhf (arXiv:2204.05862): two whole transcripts a row, which differ in the last answer.

Read from the hub, from its offline cache, or from a folder with the hub's own layout. Ids name the
subset, the file's split and the row, so all three ways give the same rows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from suites.cleaning import Draft, RowDropped, Tally, check_answers, check_text, collect, finish
from suites.pair import Message, Suite, SuiteError
from suites.reading import digest_files, read_records
from suites.registry import register

HUB = "Anthropic/hh-rlhf"
SUBSETS = ("harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled")
OTHER_COLUMNS = "red-team-attempts"  # a subset of the hub repository that holds no pairs
ENDINGS = (".jsonl.gz", ".jsonl")
TURN = re.compile(r"\n\n(Human|Assistant):")
ROLE = {"Human": "user", "Assistant": "assistant"}


class SourceRow(NamedTuple):
    """One row of one file, before parsing."""

    subset: str
    split: str
    number: int
    fields: dict[str, object]


class Found(NamedTuple):
    """The unparsed rows of a source, a stream in order, the splits they come in, its name and revision."""

    rows: Iterable[SourceRow]
    splits: frozenset[str]
    source: str
    revision: str


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
    if path is None:
        found = _from_hub(subset, revision)
    elif revision is None:
        found = _from_folder(Path(os.path.expanduser(path)), subset)
    else:
        raise SuiteError("suite.revision belongs to the hub; with suite.path the files are the revision")
    declared = len(found.splits) > 1
    tally = Tally()
    drafts = collect(found.rows, tally, build=lambda row: _draft(row, declared), name=_row_id)
    return finish(drafts, tally, name="hh-rlhf", kind="pairs", source=found.source, revision=found.revision)


def split_transcripts(chosen: str, rejected: str) -> tuple[tuple[Message, ...], str, str]:
    """(prompt, chosen answer, rejected answer) of two transcripts, cut at the last shared assistant turn.

    The prompt is all turns before the last "\\n\\nAssistant:" that both share; texts are stripped of
    surrounding whitespace; neighbouring turns of one speaker become one message, because many chat
    templates refuse two in a row.

    Conventions: both transcripts are treated alike, so a row falls under `diverges_before_last_turn`
    whichever side goes on past the shared turn. The original DPO code cuts at the last assistant turn of
    the chosen transcript, which keeps a turn marker inside the rejected answer in some rows only.

    Raises: RowDropped under `malformed` (a transcript that does not open with a human turn or does not end
    with the assistant's, an answer to no human turn), `diverges_before_last_turn`, `empty_side`,
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


def _draft(row: SourceRow, declared: bool) -> Draft:
    texts = [check_text(row.fields.get(side), side) for side in ("chosen", "rejected")]
    prompt, *answers = split_transcripts(*texts)
    return Draft(_row_id(row), prompt, tuple(answers), split=row.split if declared else None)


def _row_id(row: SourceRow) -> str:
    return f"{row.subset}/{row.split}/{row.number}"


def _turns(transcript: str) -> list[Message]:
    """The turns of one transcript. Raises: RowDropped when it does not open with a human turn."""
    head, *parts = TURN.split("\n\n" + transcript.lstrip())
    turns = [
        Message(ROLE[speaker], text.strip()) for speaker, text in zip(parts[::2], parts[1::2], strict=True)
    ]
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


def _from_hub(subset: str | None, revision: str | None) -> Found:
    from suites.hh_rlhf_hub import find_snapshot, is_offline, load_rows

    if subset is not None and subset not in SUBSETS:
        raise SuiteError(f"unknown subset {subset!r} of {HUB}; allowed: {', '.join(SUBSETS)}")
    asked, source = (subset,) if subset else SUBSETS, f"{HUB} ({subset or 'all subsets'})"
    if not is_offline():
        loaded = load_rows(HUB, asked, revision)
        return Found((SourceRow(*row) for row in loaded.rows), loaded.splits, source, loaded.commit)
    snapshot = find_snapshot(HUB, asked, revision)
    files = {key: path for name in asked for key, path in _split_files(snapshot.folder / name, name).items()}
    return Found(_read_rows(files), _splits(files), source, snapshot.commit)


def _from_folder(folder: Path, subset: str | None) -> Found:
    files = _find_files(folder, subset)
    labels = {f"{name}/{split}": path for (name, split), path in files.items()}
    source = f"hh-rlhf files ({', '.join(labels)})"
    return Found(_read_rows(files), _splits(files), source, digest_files(labels.items()))


def _find_files(folder: Path, subset: str | None) -> dict[tuple[str, str], Path]:
    """(subset, split) -> file, for the asked subset or all that are there, in sorted order."""
    if not folder.is_dir():
        raise SuiteError(f"suite.path={folder}: no such folder; it should hold SUBSET/test.jsonl.gz")
    own_name = folder.resolve().name
    own = _split_files(folder, own_name)
    if own and subset in (None, own_name):
        return own
    inner = sorted(below for below in folder.iterdir() if below.is_dir() and below.name != OTHER_COLUMNS)
    found = {below.name: files for below in inner if (files := _split_files(below, below.name))}
    if subset is not None and subset not in found:
        seen = ", ".join(found) or (own_name if own else "none")
        raise SuiteError(f"suite.path={folder}: no subset {subset!r} with train or test files; found: {seen}")
    if not found:
        raise SuiteError(f"suite.path={folder}: no train.jsonl.gz or test.jsonl.gz there or one folder below")
    wanted = sorted(found) if subset is None else [subset]
    return {key: path for name in wanted for key, path in found[name].items()}


def _split_files(folder: Path, subset: str) -> dict[tuple[str, str], Path]:
    """(subset, split) -> file of one subset folder; empty where there is none."""
    files = {}
    for split in ("train", "test"):
        there = [folder / (split + ending) for ending in ENDINGS if (folder / (split + ending)).is_file()]
        if len(there) > 1:
            raise SuiteError(f"{folder}: both {there[0].name} and {there[1].name}; keep one of them")
        if there:
            files[subset, split] = there[0]
    return files


def _splits(files: dict[tuple[str, str], Path]) -> frozenset[str]:
    """The splits that have rows; a file may be empty."""
    return frozenset(split for (_, split), path in files.items() if next(read_records(path), None) is not None)


def _read_rows(files: dict[tuple[str, str], Path]) -> Iterator[SourceRow]:
    for (subset, split), path in files.items():
        for number, record in enumerate(read_records(path)):
            if missing := {"chosen", "rejected"} - record.fields.keys():
                raise SuiteError(
                    f"{record.where}: no column {min(missing)!r}; found: {', '.join(record.fields)}; "
                    f"hh-rlhf rows need chosen and rejected"
                )
            yield SourceRow(subset, split, number, record.fields)
