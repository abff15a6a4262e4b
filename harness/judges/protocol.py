"""What a judge is, and what it says about two completions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class JudgeError(RuntimeError):
    """A judge that cannot go on, or whose verdicts cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Verdict:
    """P(a is the better completion): 1, 0, 0.5 for a tie, NaN where the judge gave no valid verdict.

    reason: what the judge said, or why the verdict is invalid. tokens: what it cost, prompt and reply together.
    given:  False where no reply came at all, so that asking again may help; such a verdict is never kept.
    """

    preference: float
    reason: str = ""
    tokens: int = 0
    given: bool = True

    @property
    def valid(self) -> bool:
        """Whether the judge decided, a tie included."""
        return not math.isnan(self.preference)


class Judge(Protocol):
    """Compares pairs of completions.

    id: names everything that decides its verdicts, so that they can be kept under it. symmetric: compare(b, a) is
    always 1 - compare(a, b); a judge that is not sees both orders.
    """

    id: str
    symmetric: bool

    def compare(self, prompts: Sequence[str], a: Sequence[str], b: Sequence[str]) -> list[Verdict]:
        """One verdict a row [N] of prompts, completions a and completions b. Raises: JudgeError."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """A judge whose verdicts are worth keeping one by one, because each costs time or money."""

    def stream(self, prompts: Sequence[str], a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[int, Verdict]]:
        """Each row's number with its verdict, as they come in, in any order. Raises: JudgeError."""
        ...


def invalid(reason: str, tokens: int = 0, *, given: bool = True) -> Verdict:
    """A verdict that counts for neither side."""
    return Verdict(math.nan, reason, tokens, given)
