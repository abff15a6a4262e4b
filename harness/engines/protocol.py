"""What engines and their workers say to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from harness.experiment.trial import Trial

AfterCell = Callable[[Trial], None]


Message = tuple[Any, ...]
"""What a worker says: a word and its content. `ready`; a call of Progress; and at the end of a cell one of
`ended` (micro-batch in tokens that fitted or None, whether the worker retires), `lost` (cause, whether memory may
be it: the worker is gone), `stopped` (no cell can be run), `fault` (the traceback of a fault of the program)."""


class Engine(Protocol):
    """Starts workers, one a slot, hands them cells and brings back their messages."""

    slots: int
    attempts: int
    """How often a cell is begun before it has failed, where it loses its worker each time."""

    def start(self, slot: int, micro_tokens: int | None) -> bool:
        """Starts a worker; whether it takes a cell at once. Else it says `ready` when it does."""

    def give(self, slot: int, trial: Trial, *, save: bool) -> None:
        """Hands a cell to a worker that is free."""

    def listen(self) -> Iterable[tuple[int, Message]]:
        """Waits until some worker says something, and who said what."""

    def dismiss(self, slot: int, *, ask: bool) -> None:
        """Ends a worker that is alive or not; asked, it ends in its own time."""


class WorkerFault(RuntimeError):
    """A fault of the program in a worker; the message is its traceback."""
