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
class _Lane:
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
        self._engine, self._lanes = engine, [_Lane(number) for number in range(engine.lanes)]
        try:
            while True:
                for lane in self._lanes:
                    self._occupy(lane)
                if all(lane.trial is None for lane in self._lanes) and not self._waiting:
                    return
                for number, message in engine.listen():
                    self._hear(self._lanes[number], message)
        finally:
            for lane in self._lanes:
                self._dismiss(lane, ask=lane.trial is None)

    def _occupy(self, lane: _Lane) -> None:
        """Starts a worker where there is none, and gives a free one a cell, as long as cells wait."""
        if self._waiting and not lane.started:
            lane.started, lane.ready = True, self._engine.start(lane.number, lane.micro_tokens)
        if lane.ready and lane.trial is None and (trial := self._next()) is not None:
            lane.trial = trial
            cell = self._sweep.identity.cell_id(lane.trial)
            self._attempts[cell] = self._attempts.get(cell, 0) + 1
            self._engine.give(lane.number, lane.trial, save=self._save)

    def _next(self) -> Trial | None:
        """Takes the first waiting cell whose round before is neither waiting nor at work; None where there is none."""
        unfinished = [*self._waiting, *(lane.trial for lane in self._lanes if lane.trial is not None)]
        trial = next((trial for trial in self._waiting if trial.parent not in unfinished), None)
        if trial is not None:
            self._waiting.remove(trial)
        return trial

    def _hear(self, lane: _Lane, message: Message) -> None:
        kind, *content = message
        if kind == "ready":
            lane.ready = True
        elif kind == "ended":
            lane.micro_tokens, worn = content
            self._end(lane)
            if worn:
                self._dismiss(lane, ask=True)
        elif kind == "lost":
            self._lost(lane, *content)
        elif kind == "stopped":
            raise SweepStopped(content[0])
        elif kind == "fault":
            raise WorkerFault(content[0])
        else:
            self._tell(lane, kind, content)

    def _tell(self, lane: _Lane, kind: str, content: Sequence[Any]) -> None:
        if kind == "stage":
            lane.stage = lane.stages.enter_context(self._progress.stage(*content))
        elif kind == "stage_done":
            lane.stages.close()
        elif kind == "advance":
            lane.stage.advance(*content)
        elif kind in ("note", "warn", "cell_kept"):
            getattr(self._progress, kind)(*content)
        else:
            getattr(self._progress, kind)(*content, lane=lane.number)

    def _end(self, lane: _Lane) -> None:
        trial, lane.trial = lane.trial, None
        self._after(trial)

    def _lost(self, lane: _Lane, cause: str, short_of_memory: bool) -> None:
        """The worker is gone and its cell, if it had one, with it: a fresh one tries again, or it has failed."""
        trial = lane.trial
        self._dismiss(lane, ask=False)
        begun = self._attempts[self._sweep.identity.cell_id(trial)] if trial else 0
        if short_of_memory and begun > 1:  # once may be an accident, and another cut of a batch moves last bits
            lane.micro_tokens = max((lane.micro_tokens or self._sweep.options.micro_tokens or 2048) // 2, FEWEST_TOKENS)
        if trial is None:
            self._lost_at_the_start += 1
            if self._lost_at_the_start >= self._engine.attempts * len(self._lanes):
                raise SweepStopped(f"no worker comes up: {cause}")
            self._progress.warn(f"{cause}; another worker takes its place")
        elif begun < self._engine.attempts:
            self._progress.warn(f"{trial.label}: {cause}; trying it again")
            self._progress.cell_dropped(lane=lane.number)
            lane.trial = None
            self._waiting.appendleft(trial)
        else:
            store_lost(self._sweep.identity, trial, self._sweep.folder(trial), cause)
            self._progress.cell_failed(trial.label, cause, lane=lane.number)
            self._end(lane)

    def _dismiss(self, lane: _Lane, *, ask: bool) -> None:
        if lane.started:
            self._engine.dismiss(lane.number, ask=ask)
        lane.stages.close()
        lane.started = lane.ready = False
