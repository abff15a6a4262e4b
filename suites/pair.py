"""What a suite hands over: messages, pairs, unpaired examples, and the suite that holds them.

Text only: token ids, limits and chat templates belong to the harness.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from suites.kind import Kind
from suites.rows import Rows

Item = TypeVar("Item")

ROLES = ("system", "user", "assistant")
SPLITS = ("train", "validation", "test")


class SuiteError(ValueError):
    """Preference data that cannot be used as asked; the message says what to do.

    The door catches it to print one line and leave with exit code 2.
    """


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation: who speaks (system, user or assistant) and the text."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One preference: two completions of the same prompt, the first of them preferred.

    `cluster` names the rows that share a first human turn: they are never spread over splits, and
    standard errors are clustered on it. The scores are a judge's or rater's, where the source has them.
    `agreement` is the share of a row's votes that went to the chosen side, where the source tells single
    votes. `source` names the part of a mixture that the row comes from; a suite of one source leaves it empty.
    """

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    cluster: str
    split: str
    score_chosen: float | None = None
    score_rejected: float | None = None
    agreement: float | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One unpaired judgement: a completion that is desirable or not (KTO and its kin); `source` as in a pair."""

    id: str
    prompt: tuple[Message, ...]
    completion: str
    desirable: bool
    cluster: str
    split: str
    source: str = ""


@dataclass(frozen=True)
class Suite:
    """The cleaned rows of one source, with what was dropped on the way and where they came from.

    `rows` may be given as any stream of pairs or examples; they are kept in columns (see `suites.rows`).
    `dropped` maps a rule to the number of rows it removed; `read` counts the rows before cleaning, so
    len(rows) + sum(dropped.values()) == read. `source` is for people and holds no machine path;
    `revision` is the hub commit, or the first 12 hex digits of the files' sha256.

    Raises: SuiteError for rows that break these promises.
    """

    name: str
    rows: Rows[Pair] | Rows[Example]
    kind: Kind
    dropped: Mapping[str, int] = field(default_factory=dict)
    read: int = 0
    source: str = ""
    revision: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "dropped", MappingProxyType(dict(self.dropped)))
        if self.kind not in tuple(Kind):
            known = " nor ".join(repr(str(kind)) for kind in Kind)
            raise SuiteError(f"suite {self.name!r}: kind {self.kind!r} is neither {known}")
        object.__setattr__(self, "kind", Kind(self.kind))  # a plug-in may give the word
        if not isinstance(self.rows, Rows):
            object.__setattr__(self, "rows", in_columns(self.name, self.rows, self.kind))
        seen: set[str] = set()
        for row in self.rows:
            _check_row(self.name, row)
            if row.id in seen:
                raise SuiteError(f"suite {self.name!r}: row id {row.id!r} occurs twice; ids must be unique")
            seen.add(row.id)
        if self.read != len(self.rows) + sum(self.dropped.values()):
            raise SuiteError(
                f"suite {self.name!r}: {self.read} rows read, but {len(self.rows)} kept and "
                f"{sum(self.dropped.values())} dropped; every row must be kept or counted under one rule"
            )

    def __getstate__(self) -> dict[str, Any]:
        """A mapping proxy cannot be pickled; workers are spawned, so the suite must travel."""
        return vars(self) | {"dropped": dict(self.dropped)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rows that were checked once are not checked again."""
        vars(self).update(state | {"dropped": MappingProxyType(state["dropped"])})


def first_human_turn(prompt: tuple[Message, ...]) -> str:
    """The first user message: what decides a row's split and cluster.

    Raises: SuiteError where the prompt has no user message.
    """
    for message in prompt:
        if message.role == "user":
            return message.content
    raise SuiteError("a prompt needs at least one user message")


def last_user_turn(prompt: tuple[Message, ...]) -> str:
    """The last user message: what a reward or a judge reads as the question.

    Raises: SuiteError where the prompt has no user message.
    """
    return first_human_turn(prompt[::-1])


def in_columns(suite: str, rows: Iterable[object], kind: Kind) -> Rows[Pair] | Rows[Example]:
    """A stream of rows as columns. Raises: SuiteError for a row of another kind, or text that no file could hold."""
    return _in_columns(suite, rows, Pair) if kind == Kind.PAIRS else _in_columns(suite, rows, Example)


def _in_columns(suite: str, rows: Iterable[object], wanted: type[Item]) -> Rows[Item]:
    """A stream of rows of one kind as columns. Raises: SuiteError."""

    def checked() -> Iterator[Item]:
        for row in rows:
            if not isinstance(row, wanted):
                kind = Kind.PAIRS if wanted is Pair else Kind.EXAMPLES
                raise SuiteError(f"suite {suite!r} of {kind} holds a {type(row).__name__}")
            yield row

    try:
        return Rows.of(checked(), wanted)
    except UnicodeEncodeError as error:
        raise SuiteError(f"suite {suite!r}: a text holds a lone surrogate ({error})") from error


def _check_row(suite: str, row: Pair | Example) -> None:
    """Refuse a row that the rest of the project could not use. Raises: SuiteError."""
    where = f"suite {suite!r}, row {row.id!r}"
    if row.split not in SPLITS:
        raise SuiteError(f"{where}: split {row.split!r} is not one of {', '.join(SPLITS)}")
    if not row.prompt or row.prompt[-1].role == "assistant":
        raise SuiteError(f"{where}: a prompt must end with the turn that is to be answered")
    if unknown := {message.role for message in row.prompt} - set(ROLES):
        raise SuiteError(f"{where}: role {min(unknown)!r} is not one of {', '.join(ROLES)}")
    answers = (row.chosen, row.rejected) if isinstance(row, Pair) else (row.completion,)
    if not all(answer.strip() for answer in answers):
        raise SuiteError(f"{where}: an answer is empty")
