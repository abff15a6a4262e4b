"""Who runs what: cells handed to workers, told to the progress, and tried again where a worker was lost.

The parent never loads a model. A cell goes to whichever worker is free; a worker that dies (the system kills
what takes too much memory), or retires because memory or the device failed it, is replaced, and a cell it
held is tried again, after a second death with half the micro-batch. How workers are started and spoken to is an
engine's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from harness.cells.cell import store_lost
from harness.cells.sweep import Sweep
from harness.engines.protocol import AfterCell, Engine, Message, WorkerFault
from harness.errors import SweepStopped
from harness.experiment.trial import Trial
from harness.progress import Progress

FEWEST_TOKENS = 128  # of a micro-batch, however often memory ran out


@dataclass
class _Slot:
    """One place in the pool, and the cell that is held there."""

    number: int
    micro_tokens: int | None = None
    started: bool = False
    ready: bool = False
    trial: Trial | None = None
    stages: ExitStack = field(default_factory=ExitStack)
    stage: Any = None


class Pool:
    """Runs the cells of `todo` on an engine; `after` is called when one has ended."""

    def __init__(
        self, sweep: Sweep, todo: Sequence[Trial], progress: Progress, after: AfterCell, *, save: bool
    ) -> None:
        self._sweep, self._progress, self._after, self._save = sweep, progress, after, save
        self._waiting = deque(todo)
        self._attempts: dict[str, int] = {}  # cell id -> times it was begun
        self._lost_at_the_start = 0  # workers that never held a cell

    def run(self, engine: Engine) -> None:
        """Hands out cells until all have ended, then ends every worker, whatever happened."""
        self._engine, self._slots = engine, [_Slot(number) for number in range(engine.slots)]
        try:
            while True:
                for slot in self._slots:
                    self._occupy(slot)
                if all(slot.trial is None for slot in self._slots) and not self._waiting:
                    return
                for number, message in engine.listen():
                    self._hear(self._slots[number], message)
        finally:
            for slot in self._slots:
                self._dismiss(slot, ask=slot.trial is None)

    def _occupy(self, slot: _Slot) -> None:
        """Starts a worker where there is none, and gives a free one a cell, as long as cells wait."""
        if self._waiting and not slot.started:
            slot.started, slot.ready = True, self._engine.start(slot.number, slot.micro_tokens)
        if slot.ready and slot.trial is None and (trial := self._next()) is not None:
            slot.trial = trial
            cell = self._sweep.identity.cell_id(slot.trial)
            self._attempts[cell] = self._attempts.get(cell, 0) + 1
            self._engine.give(slot.number, slot.trial, save=self._save)

    def _next(self) -> Trial | None:
        """Takes the first waiting cell whose round before is neither waiting nor at work; None where there is none."""
        unfinished = [*self._waiting, *(slot.trial for slot in self._slots if slot.trial is not None)]
        trial = next((trial for trial in self._waiting if trial.parent not in unfinished), None)
        if trial is not None:
            self._waiting.remove(trial)
        return trial

    def _hear(self, slot: _Slot, message: Message) -> None:
        kind, *content = message
        if kind == "ready":
            slot.ready = True
        elif kind == "ended":
            slot.micro_tokens, should_restart = content
            self._end(slot)
            if should_restart:
                self._dismiss(slot, ask=True)
        elif kind == "lost":
            self._lost(slot, *content)
        elif kind == "stopped":
            raise SweepStopped(content[0])
        elif kind == "fault":
            raise WorkerFault(content[0])
        else:
            self._tell(slot, kind, content)

    def _tell(self, slot: _Slot, kind: str, content: Sequence[Any]) -> None:
        if kind == "stage":
            slot.stage = slot.stages.enter_context(self._progress.stage(*content))
        elif kind == "stage_done":
            slot.stages.close()
        elif kind == "advance":
            slot.stage.advance(*content)
        elif kind in ("note", "warn", "cell_kept"):
            getattr(self._progress, kind)(*content)
        else:
            getattr(self._progress, kind)(*content, slot=slot.number)

    def _end(self, slot: _Slot) -> None:
        trial, slot.trial = slot.trial, None
        self._after(trial)

    def _lost(self, slot: _Slot, cause: str, short_of_memory: bool) -> None:
        """The worker is gone and its cell, if it had one, with it: a fresh one tries again, or it has failed."""
        trial = slot.trial
        self._dismiss(slot, ask=False)
        begun = self._attempts[self._sweep.identity.cell_id(trial)] if trial else 0
        if short_of_memory and begun > 1:  # once may be an accident, and another cut of a batch moves last bits
            slot.micro_tokens = max((slot.micro_tokens or self._sweep.options.micro_tokens or 2048) // 2, FEWEST_TOKENS)
        if trial is None:
            self._lost_at_the_start += 1
            if self._lost_at_the_start >= self._engine.attempts * len(self._slots):
                raise SweepStopped(f"no worker comes up: {cause}")
            self._progress.warn(f"{cause}; another worker takes its place")
        elif begun < self._engine.attempts:
            self._progress.warn(f"{trial.label}: {cause}; trying it again")
            self._progress.cell_dropped(slot=slot.number)
            slot.trial = None
            self._waiting.appendleft(trial)
        else:
            store_lost(self._sweep.identity, trial, self._sweep.folder(trial), cause)
            self._progress.cell_failed(trial.label, cause, slot=slot.number)
            self._end(slot)

    def _dismiss(self, slot: _Slot, *, ask: bool) -> None:
        if slot.started:
            self._engine.dismiss(slot.number, ask=ask)
        slot.stages.close()
        slot.started = slot.ready = False
