"""Rows on their way into a suite: dropped by a named rule and counted, then placed into splits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from suites.kind import Kind
from suites.pair import Example, Message, Pair, Suite, SuiteError, first_human_turn, in_columns
from suites.rows import Rows
from suites.splits import LEAKS, cluster_of, place_rows

Record = TypeVar("Record")
UNFIT = re.compile("[\0\ud800-\udfff]")


class RowDropped(Exception):
    """One row that a cleaning rule removes: the rule's name, and why it fired on this row."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Draft:
    """A cleaned row before it has a split. `answers` is (chosen, rejected) or (completion,).

    `cluster` is the source's own label where it has one, and `split` its own split; None otherwise.
    """

    id: str
    prompt: tuple[Message, ...]
    answers: tuple[str, ...]
    split: str | None = None
    cluster: str | None = None
    scores: tuple[float | None, float | None] = (None, None)
    desirable: bool | None = None
    agreement: float | None = None

    @property
    def unit(self) -> str:
        """What keeps rows together: the source's cluster label, else the first human turn."""
        return self.cluster if self.cluster is not None else first_human_turn(self.prompt)


@dataclass
class Tally:
    """Counts rows read and dropped, and remembers the first reason of each rule for the messages."""

    read: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def drop(self, rule: str, reason: str) -> None:
        """Count one row removed by `rule`."""
        self.dropped[rule] = self.dropped.get(rule, 0) + 1
        self.first.setdefault(rule, reason)

    def words(self) -> str:
        """One clause a rule, with the first row it removed."""
        return "; ".join(f"{rule} {count} (first: {self.first[rule]})" for rule, count in self.dropped.items())


def collect(
    records: Iterable[Record],
    tally: Tally,
    *,
    build: Callable[[Record], Draft],
    name: Callable[[Record], str],
) -> Iterator[Draft]:
    """A draft from each record, as they are asked for; a `RowDropped` raised by `build` is counted in `tally`.

    `name` says where a record came from, for the messages.
    """
    for record in records:
        tally.read += 1
        try:
            draft = build(record)
        except RowDropped as dropped:
            tally.drop(dropped.rule, f"{name(record)}, {dropped}")
        else:
            yield draft


def check_text(value: object, what: str) -> str:
    """The value as text that any tokenizer and file format can carry.

    Raises: RowDropped under `malformed` (not a string) or `not_text` (NUL or a lone surrogate).
    """
    if not isinstance(value, str):
        raise RowDropped("malformed", f"{what} is {_kind(value)}, not text")
    if UNFIT.search(value):
        raise RowDropped("not_text", f"{what} holds a NUL or a lone surrogate")
    return value


def check_answers(chosen: str, rejected: str) -> None:
    """Two completions that can be told apart. The rule `empty_side` comes before `identical`.

    One completion being the beginning of the other is no error: it is a real preference for more or less.

    Raises: RowDropped.
    """
    if not chosen.strip() or not rejected.strip():
        side = "chosen" if not chosen.strip() else "rejected"
        raise RowDropped("empty_side", f"{side} is empty")
    if chosen.strip() == rejected.strip():
        raise RowDropped("identical", "chosen and rejected are the same text")


def finish(
    drafts: Iterable[Draft],
    tally: Tally,
    *,
    name: str,
    kind: Kind,
    source: str,
    revision: str,
    lone_split_counts: bool = True,
) -> Suite:
    """Place the drafts into splits, drop what leaks into test, and close the suite.

    Where all rows name one and the same split, lone_split_counts=False takes that for no word about what to
    hold out, and the first human turn decides. The drafts may be a stream that fills `tally` on the way: they are
    read once, and where each row goes is decided when the last one has been seen.

    Raises: SuiteError when no row is left, with the count and first reason of each rule; as `in_columns`.
    """
    units: list[str] = []
    declared: list[str | None] = []

    def unplaced() -> Iterator[Pair | Example]:
        for draft in drafts:
            units.append(draft.unit)
            declared.append(draft.split)
            yield _unplaced_row(draft)

    rows = in_columns(name, unplaced(), kind)
    if not lone_split_counts and len(set(declared)) == 1:
        declared = [None] * len(declared)
    placed = place_rows(units, declared)
    kept = [place for place, split in enumerate(placed) if split is not None]
    if len(kept) < len(rows):
        _count_leaks(rows, placed, tally)
    if not kept:
        why = tally.words() or "the source has no rows"
        raise SuiteError(f"{source}: none of {tally.read} rows is left after cleaning: {why}")
    rows = rows.replaced("split", placed)
    rows = rows.take(kept) if len(kept) < len(rows) else rows
    return Suite(name, rows, kind, tally.dropped, tally.read, source, revision)


def _count_leaks(rows: Rows[Pair] | Rows[Example], placed: Sequence[str | None], tally: Tally) -> None:
    """Each row without a split is counted under the rule that took it."""
    ids = rows.column("id")
    for place, split in enumerate(placed):
        if split is None:
            tally.drop(LEAKS, f"{ids[place]}: its first turn is also in the test split")


def _unplaced_row(draft: Draft) -> Pair | Example:
    """The row of a draft, whose split is found when all rows have been seen."""
    cluster = draft.cluster if draft.cluster is not None else cluster_of(draft.unit)
    if draft.desirable is not None:
        return Example(draft.id, draft.prompt, draft.answers[0], draft.desirable, cluster, split="")
    chosen, rejected = draft.answers
    return Pair(draft.id, draft.prompt, chosen, rejected, cluster, "", *draft.scores, draft.agreement)


def _kind(value: object) -> str:
    """The value's type in a user's words."""
    names = {
        type(None): "missing",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), f"a {type(value).__name__}")
