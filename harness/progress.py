"""What is going on, as it happens: which cell of how many, which step, how long still.

`Progress` keeps the counts and composes the sentences; a display shows them. On a terminal the display is
one live line under the finished ones (rich), elsewhere plain lines, few enough for a log file. Progress
goes to stderr, so that stdout holds the tables alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TextIO

SECONDS_BETWEEN_LINES = 10.0  # within a cell or a stage, where the display is plain lines

Clock = Callable[[], float]
ShowStatus = Callable[[str, float | None], None]


class Display(Protocol):
    """Where progress is shown: lasting lines, and a status that may be overwritten or left out."""

    def line(self, text: str) -> None:
        """Shows a lasting line."""

    def status(self, text: str, share: float | None) -> None:
        """Shows what goes on, and the share (0 to 1) that is done, where it is known."""

    def close(self) -> None:
        """Ends the showing; nothing comes after it."""


@dataclass
class Silent:
    """Shows nothing and remembers the lines and statuses, for tests."""

    lines: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)

    def line(self, text: str) -> None:
        self.lines.append(text)

    def status(self, text: str, share: float | None) -> None:
        self.statuses.append(text)

    def close(self) -> None: ...


class PlainLines:
    """Lines on a stream; a status becomes a line when the last line is old enough."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last = clock()

    def line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)
        self._last = self._clock()

    def status(self, text: str, share: float | None) -> None:
        if self._clock() - self._last >= SECONDS_BETWEEN_LINES:
            self.line(text)

    def close(self) -> None: ...


class LiveLine:
    """A terminal: lasting lines above, one live bar with the status below."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
        from rich.table import Column

        self._console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
        text = Column(no_wrap=True, overflow="ellipsis")
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.description}", markup=False, table_column=text),
            console=self._console,
            transient=True,
            refresh_per_second=4,
        )
        self._task: Any = None

    def line(self, text: str) -> None:
        self._console.print(text)
        if self._task is not None:  # what the bar showed is over
            self._bar.update(self._task, description="", total=None)

    def status(self, text: str, share: float | None) -> None:
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task(text, total=1.0)
        self._bar.update(self._task, description=text, total=None if share is None else 1.0, completed=share or 0.0)

    def close(self) -> None:
        if self._task is not None:
            self._bar.stop()


class Stage:
    """A part of the work with a known number of items, outside the cells."""

    def __init__(self, name: str, total: int, show: ShowStatus, clock: Clock) -> None:
        self._name, self._total, self._show, self._clock = name, total, show, clock
        self._done = 0
        self._began = clock()

    def advance(self, n: int = 1) -> None:
        """Count n more items as done."""
        self._done += n
        left = self.seconds_left()
        ending = f", {estimate(left)} left" if left is not None and self._done < self._total else ""
        self._show(f"{self._name}: {self._done} of {self._total}{ending}", self._done / max(self._total, 1))

    def seconds_left(self) -> float | None:
        """Time for the remaining items at the pace so far; None before the first one is done."""
        if self._done == 0:
            return None
        return (self._clock() - self._began) / self._done * max(self._total - self._done, 0)


@dataclass
class _Cell:
    """The cell at work."""

    label: str
    steps: int
    began: float
    since: float  # when the steps began by which it is timed: the first one brings a reference and an evaluation along
    step: int = 0
    stepped: float = 0.0
    timed: int = 0
    tokens: int = 0

    def advance(self, step: int, tokens: int, now: float) -> None:
        if self.step and self.since == self.began:
            self.since, self.timed, self.tokens = self.stepped, 0, 0
        self.step, self.stepped = step, now
        self.timed += 1
        self.tokens += tokens

    def seconds_left(self, now: float) -> float:
        return (now - self.since) / self.timed * max(self.steps - self.step, 0)


class Progress:
    """The story of a sweep, told to a display; use it as a context manager.

    `cells` is the number of cells of the sweep, None as long as it is not known (see `expect`). A slot is one of
    several places where cells run at a time.
    """

    def __init__(self, display: Display, cells: int | None = None, clock: Clock = time.monotonic) -> None:
        self._display = display
        self._clock = clock
        self._cells = cells
        self._ended = 0
        self._trained_seconds: list[float] = []
        self._at_work: dict[int, _Cell] = {}  # slot -> cell

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._display.close()

    def note(self, text: str) -> None:
        """Say something once."""
        self._display.line(printable(text))

    def warn(self, text: str) -> None:
        """Say something once that may change what the user wants."""
        self._display.line(f"warning: {printable(text)}")

    def expect(self, cells: int) -> None:
        """A sweep of so many cells begins, those included that are finished already; it is counted from 1."""
        self._cells, self._ended = cells, 0
        self._trained_seconds.clear()

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Stage]:
        """A part of the work outside the cells; call `advance` on what is yielded."""
        name = printable(name)
        self._display.line(f"{name} ...")
        began = self._clock()
        yield Stage(name, total, self._display.status, self._clock)
        self._display.line(f"{name}: done in {estimate(self._clock() - began)}")

    def cell_started(self, label: str, steps: int, slot: int = 0) -> None:
        """A cell begins; steps is the number of optimizer steps it will take (0: evaluation only)."""
        now = self._clock()
        self._at_work[slot] = _Cell(printable(label), steps, now, now)
        self._display.line(f"{self._counter()} {printable(label)}: started, {steps} steps")

    def step(self, step: int, loss_value: float, tokens: int, slot: int = 0) -> None:
        """Optimizer step number `step` (from 1) is done; tokens is what it processed."""
        cell = self._current(slot)
        cell.advance(step, tokens, self._clock())
        seconds = max(self._clock() - cell.since, 1e-9)
        left = self.seconds_left()
        text = (
            f"{self._counter()} {cell.label}: step {step}/{cell.steps}, loss {loss_value:.4g}, "
            f"{cell.tokens / seconds:,.0f} tokens/s"
        )
        ending = "" if left is None else f", {estimate(left)} left"
        self._display.status(text + ending, step / cell.steps if cell.steps else None)

    def cell_finished(self, label: str, summary: str, slot: int = 0) -> None:
        """The cell at work is measured and stored."""
        cell = self._current(slot)
        seconds = self._clock() - cell.began
        if cell.steps:
            self._trained_seconds.append(seconds)
        self._end_cell(label, f"done in {estimate(seconds)}: {printable(summary)}", slot)

    def cell_failed(self, label: str, reason: str, slot: int = 0) -> None:
        """The cell at work, or one that could not begin, has failed; the sweep goes on."""
        self._end_cell(label, f"FAILED: {printable(reason)}", slot)

    def cell_dropped(self, slot: int = 0) -> None:
        """The cell at work was lost and will begin again."""
        self._at_work.pop(slot, None)

    def cell_kept(self, label: str, reason: str) -> None:
        """A cell needs no work: it was finished earlier, or is skipped for the reason given."""
        self._end_cell(label, printable(reason), None)

    def seconds_left(self) -> float | None:
        """Time until the last cell ends, from the work done so far; None before the first step.

        Later cells are taken to last as long as the trained ones so far did on average, or, before any
        has ended, as long as the one at work. Cells that turn out to be finished already make it less.
        """
        begun = [cell for cell in self._at_work.values() if cell.step]
        if not begun:
            return None
        now = self._clock()
        if self._trained_seconds:
            a_cell = sum(self._trained_seconds) / len(self._trained_seconds)
        else:
            a_cell = max(now - cell.began + cell.seconds_left(now) for cell in begun)
        later = max((self._cells or 0) - self._ended - len(self._at_work), 0)
        return max(cell.seconds_left(now) for cell in begun) + a_cell * later / len(self._at_work)

    def _end_cell(self, label: str, what: str, slot: int | None) -> None:
        self._display.line(f"{self._counter()} {printable(label)}: {what}")
        self._ended += 1
        if slot is not None:
            self._at_work.pop(slot, None)

    def _current(self, slot: int) -> _Cell:
        if slot not in self._at_work:
            raise RuntimeError("no cell is at work; call cell_started first")
        return self._at_work[slot]

    def _counter(self) -> str:
        total = "" if self._cells is None else f"/{self._cells}"
        return f"[{self._ended + 1}{total}]"


def on_stream(stream: TextIO) -> Progress:
    """Progress for a stream: live on a terminal, plain lines in a file or a pipe."""
    return Progress(LiveLine(stream) if stream.isatty() else PlainLines(stream))


def silent() -> Progress:
    """Progress that shows nothing."""
    return Progress(Silent())


def estimate(seconds: float) -> str:
    """A duration for people: `under 1 s`, `45 s`, `3 min 20 s`, `2 h 05 min`, `1 d 3 h`."""
    if seconds < 1:
        return "under 1 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def printable(text: str) -> str:
    """Text on one line without control characters, so that no message can steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
