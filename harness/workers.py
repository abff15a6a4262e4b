"""Where cells run: worker processes that live for many cells, or this process.

The parent never loads a model. A cell goes to whichever worker is free; a worker that dies (the system kills
what takes too much memory), or retires because memory or the device failed it, is replaced, and a cell it
held is tried once more, after a death with half the micro-batch.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from harness import ranks
from harness.cell import store_lost
from harness.faults import StorageFailed, memory_failure, storage_failure
from harness.grid import Trial
from harness.progress import Progress
from harness.sweep import Sweep
from harness.worker import Duty, Worker, main, sums

ATTEMPTS = 2
FEWEST_TOKENS = 128  # of a micro-batch, however often memory ran out
SECONDS_TO_END = 10.0

AfterCell = Callable[[Trial], None]


def run_cells(sweep: Sweep, todo: Sequence[Trial], progress: Progress, after: AfterCell, *, save: bool) -> None:
    """Runs the cells of `todo`; `after` is called when one has ended.

    Raises: StorageFailed where nothing can be written any more.
    Raises: WorkerFault with a worker's traceback where a cell met a fault of the program.
    """
    devices = _devices(sweep, len(todo))
    if not devices:
        worker = Worker(sweep, todo, progress)
        for trial in todo:
            _run_here(worker, trial, save)
            after(trial)
        return
    pool = _Pool(sweep, tuple(todo), progress, after, save, devices)
    try:
        pool.run()
    finally:
        pool.close()


def _run_here(worker: Worker, trial: Trial, save: bool) -> None:
    """One cell in this process; memory that runs out for good fails the cell. Raises: StorageFailed."""
    try:
        worker.run(trial, save=save)
    except Exception as error:
        memory, storage = memory_failure(error), storage_failure(error)
        if storage is not None:
            raise StorageFailed(storage) from error
        if memory is None:
            raise
        store_lost(worker.sweep.identity, trial, worker.sweep.folder(trial), memory)
        worker.progress.cell_failed(trial.label, memory)


class WorkerFault(RuntimeError):
    """A fault of the program in a worker process; the message is its traceback."""


def _devices(sweep: Sweep, cells: int) -> list[str]:
    """The device of each worker process; none: this process does the work, with the others of its launch."""
    if ranks.processes() > 1:
        return []
    device, wanted = sweep.machine.device, sweep.options.workers
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if sweep.options.device == "auto" else []
    places = gpus or [device]
    count = len(places) if wanted is None else wanted
    return [places[i % len(places)] for i in range(min(count, cells))]


@dataclass
class _Lane:
    """One place in the pool, the process at work there, and the cell that it holds."""

    number: int
    device: str
    micro_tokens: int | None = None
    process: BaseProcess | None = None
    pipe: Connection | None = None
    trial: Trial | None = None
    stages: ExitStack = field(default_factory=ExitStack)
    stage: Any = None


class _Pool:
    def __init__(
        self, sweep: Sweep, todo: Sequence[Trial], progress: Progress, after: AfterCell, save: bool,
        devices: Sequence[str],
    ) -> None:  # fmt: skip
        self._sweep, self._todo, self._progress, self._after, self._save = sweep, todo, progress, after, save
        self._waiting = deque(todo)
        self._attempts: dict[str, int] = {}  # cell id -> times it was begun
        self._lanes = [_Lane(number, device) for number, device in enumerate(devices)]
        self._context = multiprocessing.get_context("spawn")

    def run(self) -> None:
        """Hands out cells until all have ended."""
        while True:
            for lane in self._lanes:
                if lane.trial is None and self._waiting:
                    self._give(lane)
            busy = [lane for lane in self._lanes if lane.trial is not None]
            if not busy:
                return
            ready = wait([lane.pipe for lane in busy])
            for lane in busy:
                if lane.pipe in ready:
                    self._listen(lane)

    def close(self) -> None:
        """Ends every worker; one in the middle of a cell is asked to leave it, then made to."""
        for lane in self._lanes:
            self._dismiss(lane, ask=lane.trial is None)

    def _give(self, lane: _Lane) -> None:
        if lane.process is None:
            self._start(lane)
        lane.trial = self._waiting.popleft()
        cell = self._sweep.identity.cell_id(lane.trial)
        self._attempts[cell] = self._attempts.get(cell, 0) + 1
        lane.pipe.send((lane.trial, self._save))

    def _start(self, lane: _Lane) -> None:
        ours, theirs = self._context.Pipe()
        duty = Duty(
            self._sweep, self._todo, sums(), len(self._lanes), lane.device,
            max(1, self._sweep.machine.threads // len(self._lanes)), lane.micro_tokens,
        )  # fmt: skip
        lane.process = self._context.Process(target=main, args=(duty, theirs), daemon=True)
        lane.process.start()
        theirs.close()
        lane.pipe = ours

    def _listen(self, lane: _Lane) -> None:
        """One message of a worker, or its end."""
        try:
            kind, *content = lane.pipe.recv()
        except (EOFError, ConnectionError):
            lane.process.join()
            self._lost(lane, _cause(lane.process.exitcode), memory=lane.process.exitcode == -signal.SIGKILL)
            return
        if kind == "ended":
            lane.micro_tokens, worn = content
            self._end(lane)
            if worn:
                self._dismiss(lane, ask=True)
        elif kind == "lost":
            self._lost(lane, content[0], memory=False)
        elif kind == "stopped":
            raise StorageFailed(content[0])
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

    def _lost(self, lane: _Lane, cause: str, *, memory: bool) -> None:
        """The worker is gone and its cell with it: once more with a fresh one, else the cell has failed."""
        trial = lane.trial
        self._dismiss(lane, ask=False)
        if memory:
            lane.micro_tokens = max((lane.micro_tokens or self._sweep.options.micro_tokens or 2048) // 2, FEWEST_TOKENS)
        if self._attempts[self._sweep.identity.cell_id(trial)] < ATTEMPTS:
            self._progress.warn(f"{trial.label}: {cause}; trying it once more")
            self._progress.cell_dropped(lane=lane.number)
            lane.trial = None
            self._waiting.appendleft(trial)
            return
        store_lost(self._sweep.identity, trial, self._sweep.folder(trial), cause)
        self._progress.cell_failed(trial.label, cause, lane=lane.number)
        self._end(lane)

    def _dismiss(self, lane: _Lane, *, ask: bool) -> None:
        if lane.process is None:
            return
        if ask and lane.process.is_alive():
            lane.pipe.send(None)
        else:
            lane.process.terminate()
        lane.process.join(SECONDS_TO_END)
        if lane.process.is_alive():
            lane.process.kill()
            lane.process.join()
        lane.pipe.close()
        lane.stages.close()
        lane.process = lane.pipe = None


def _cause(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "the worker process was killed; on a machine short of memory the system does that"
    if code is not None and code < 0:
        return f"the worker process ended by signal {-code} ({signal.Signals(-code).name})"
    return f"the worker process ended early (exit code {code})"
