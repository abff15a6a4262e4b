"""A user's own file: pairs (prompt, chosen, rejected) or judged completions (prompt, completion, label).

The files of LLaMA-Factory are read too: `conversations` (ShareGPT turns, with an optional `system` text) in the
place of prompt, chosen and rejected as one turn each; `messages` and `label` for judged completions.

Text is kept as it is written. A row that cannot be used is dropped by a named rule and counted:
`malformed` (a field is missing or of another type, or the messages make no conversation), `not_text`
(NUL or lone surrogate), `empty_prompt`, `diverges_before_last_turn` (the two sides, or a side and the
prompt column, hold different conversations), `empty_side`, `identical`, `leaks_into_test`. What concerns
the whole file (no such columns, a word that is no split, a score that is no number) is an error.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from suites.kind import Kind
from suites.pair import Suite, SuiteError
from suites.reading.cleaning import Draft, RowDropped, Tally, check_answers, check_text, collect, finish
from suites.reading.forms import example_draft
from suites.reading.layout import stem_of
from suites.reading.messages import own_columns, read_prompt, read_side, shared_prompt
from suites.reading.records import Record, digest_files, read_records
from suites.reading.sources import SourceRow
from suites.splits import declared_split

PAIR_COLUMNS = ("chosen", "rejected")
EXAMPLE_COLUMNS = ("prompt", "completion", "label")
NEEDED = (
    "needed: prompt, chosen, rejected (text or messages; without prompt, chosen and rejected as messages "
    "that share one), or prompt, completion, label; or conversations, chosen, rejected; or messages, label"
)


def load_file(name: str) -> Suite:
    """The suite in one file; its name is the file's stem, its revision the file's sha256.

    Optional columns: id (unique), split (train, validation, test), cluster (rows that belong together;
    otherwise the first human turn decides), score_chosen and score_rejected.

    Raises: SuiteError.
    """
    path = Path(os.path.expanduser(name))
    kind = _kind(path.name, _survey(_records(path)))
    build = _pair_draft if kind is Kind.PAIRS else _example_draft
    tally = Tally()
    drafts = collect(_with_ids(_records(path)), tally, build=lambda row: build(*row), name=lambda row: row[1].where)
    return finish(
        drafts,
        tally,
        name=stem_of(path.name),
        kind=kind,
        source=path.name,
        revision=digest_files([(path.name, path)]),
    )


def _records(path: Path) -> Iterator[Record]:
    """The file's records, those of LLaMA-Factory under our columns."""
    return (record._replace(fields=own_columns(record.fields)) for record in read_records(path))


class Survey(NamedTuple):
    """What a first look at the whole file finds: its columns, and whether any completion is a list of messages."""

    columns: tuple[str, ...]
    has_messages: bool
    rows: int


def _survey(records: Iterable[Record]) -> Survey:
    columns: dict[str, None] = {}
    has_messages, rows = False, 0
    for record in records:
        rows += 1
        columns |= dict.fromkeys(record.fields)
        has_messages = has_messages or _has_messages(record)
    return Survey(tuple(columns), has_messages, rows)


def _kind(name: str, found: Survey) -> Kind:
    """What the columns hold: pairs or examples. Raises: SuiteError saying what was found."""
    columns = found.columns
    if not found.rows:
        raise SuiteError(f"{name}: no rows; {NEEDED}")
    pairs = all(column in columns for column in PAIR_COLUMNS)
    examples = all(column in columns for column in EXAMPLE_COLUMNS)
    if pairs and examples:
        raise SuiteError(f"{name}: columns of pairs and of unpaired examples; found: {', '.join(columns)}; keep one")
    if pairs and "prompt" not in columns and not found.has_messages:
        raise SuiteError(f"{name}: no column 'prompt'; found: {', '.join(columns)}; {NEEDED}")
    if not pairs and not examples:
        raise SuiteError(f"{name}: columns found: {', '.join(columns) or 'none'}; {NEEDED}")
    return Kind.PAIRS if pairs else Kind.EXAMPLES


def _has_messages(record: Record) -> bool:
    return isinstance(record.fields.get("chosen"), list)


def _with_ids(records: Iterable[Record]) -> Iterator[tuple[str, Record]]:
    """Each record under its id: the id column where it is filled, else the row's number.

    Raises: SuiteError for a repeated id.
    """
    seen: dict[str, str] = {}
    for number, record in enumerate(records, start=1):
        given = _label(record, "id")
        row_id = f"row-{number}" if given is None else given
        if row_id in seen:
            raise SuiteError(f"{record.where}: id {row_id!r} was already used at {seen[row_id]}; ids are unique")
        seen[row_id] = record.where
        yield row_id, record


def _pair_draft(row_id: str, record: Record) -> Draft:
    """One pair. Raises: RowDropped for its content, SuiteError for its split or scores."""
    scores = (_score(record, "score_chosen"), _score(record, "score_rejected"))
    split, cluster = _split(record), _label(record, "cluster")
    chosen, rejected = (read_side(record.fields.get(side), side) for side in PAIR_COLUMNS)
    prompt = shared_prompt(read_prompt(record.fields.get("prompt")), chosen, rejected)
    check_answers(chosen.answer, rejected.answer)
    return Draft(row_id, prompt, (chosen.answer, rejected.answer), split, cluster, scores)


def _example_draft(row_id: str, record: Record) -> Draft:
    """One judged completion. Raises: RowDropped for its content, SuiteError for its split."""
    split, cluster = _split(record), _label(record, "cluster")
    return replace(example_draft(SourceRow(row_id, "", split, record.fields)), cluster=cluster)


def _split(record: Record) -> str | None:
    word = _label(record, "split")
    return None if word is None else declared_split(word, record.where)


def _label(record: Record, column: str) -> str | None:
    """A word or whole number as text; None where the column is empty or absent. Raises: SuiteError."""
    value = record.fields.get(column)
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise SuiteError(f"{record.where}: {column} {value!r} is neither text nor a whole number")
    try:
        return check_text(str(value), column)
    except RowDropped as dropped:
        raise SuiteError(f"{record.where}: {dropped}") from None


def _score(record: Record, column: str) -> float | None:
    """A finite number; None where the column is empty or absent (a table's missing value is NaN).

    Raises: SuiteError.
    """
    value = record.fields.get(column)
    if value is None or value == "":
        return None
    wrong = SuiteError(f"{record.where}: {column} {str(value)[:40]!r} is not a finite number")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise wrong
    try:
        score = float(value)
    except (ValueError, OverflowError):
        raise wrong from None
    if math.isinf(score):
        raise wrong
    return None if math.isnan(score) else score
