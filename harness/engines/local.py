"""Cells in worker processes of this machine, one a GPU or as many as asked for, or in the command's own process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from harness.cells.cell import store_lost
from harness.cells.sweep import Sweep
from harness.compute import ranks
from harness.engines.protocol import AfterCell, Message
from harness.engines.worker import RemoteProgress, Worker, WorkerConfig, ending, register_losses, worker_config
from harness.errors import SweepStopped, memory_failure, stopping_failure
from harness.experiment.trial import Trial
from harness.progress import Progress

SECONDS_TO_END = 10.0


def devices(sweep: Sweep, cells: int) -> list[str]:
    """The device of each worker process; none: this process does the work, with the others of its launch."""
    if ranks.processes() > 1:
        return []
    device, wanted = sweep.machine.device, sweep.options.workers
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if sweep.options.device == "auto" else []
    places = gpus or [device]
    count = len(places) if wanted is None else wanted
    return [places[i % len(places)] for i in range(min(count, cells))]


def run_here(sweep: Sweep, todo: Sequence[Trial], progress: Progress, after: AfterCell, *, save: bool) -> None:
    """Cells one after another in this process. Raises: SweepStopped where nothing can be written any more."""
    worker = Worker(sweep, todo, progress)
    for trial in todo:
        _run_here(worker, trial, save)
        after(trial)


def _run_here(worker: Worker, trial: Trial, save: bool) -> None:
    """One cell in this process; memory that runs out for good fails the cell. Raises: SweepStopped."""
    try:
        worker.run(trial, save=save)
    except Exception as error:
        memory, stopping = memory_failure(error), stopping_failure(error)
        if stopping is not None:
            raise SweepStopped(stopping) from error
        if memory is None:
            raise
        store_lost(worker.sweep.identity, trial, worker.sweep.folder(trial), memory)
        worker.progress.cell_failed(trial.label, memory)


class Processes:
    """An engine of spawned processes, one for each of `devices`, spoken to through pipes."""

    attempts = 3

    def __init__(self, sweep: Sweep, todo: Sequence[Trial], devices: Sequence[str]) -> None:
        self._sweep, self._todo, self._devices = sweep, todo, devices
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[int, BaseProcess] = {}
        self._pipes: dict[int, Connection] = {}
        self.slots = len(devices)

    def start(self, slot: int, micro_tokens: int | None) -> bool:
        """Starts a process; a cell may be sent while it comes up."""
        ours, theirs = self._context.Pipe()
        threads = max(1, self._sweep.machine.threads // self.slots)
        machine = replace(self._sweep.machine, device=self._devices[slot], threads=threads)
        config = worker_config(replace(self._sweep, machine=machine), self._todo, self.slots, micro_tokens)
        self._processes[slot] = self._context.Process(target=main, args=(config, theirs), daemon=True)
        self._processes[slot].start()
        theirs.close()
        self._pipes[slot] = ours
        return True

    def give(self, slot: int, trial: Trial, *, save: bool) -> None:
        """Sends a cell through the pipe."""
        self._pipes[slot].send((trial, save))

    def listen(self) -> Iterator[tuple[int, Message]]:
        """One message of each process that has one; the end of a process is one too."""
        ready = wait(self._pipes.values())
        for slot, pipe in list(self._pipes.items()):
            if pipe in ready:
                try:
                    yield slot, pipe.recv()
                except (EOFError, ConnectionError):
                    process = self._processes[slot]
                    process.join()
                    yield slot, ("lost", _cause(process.exitcode), process.exitcode == -signal.SIGKILL)

    def dismiss(self, slot: int, *, ask: bool) -> None:
        """Ends a process; one in the middle of a cell is asked to leave it, then made to."""
        process, pipe = self._processes.pop(slot), self._pipes.pop(slot)
        if ask and process.is_alive():
            with contextlib.suppress(ConnectionError):  # it is ending by itself just now
                pipe.send(None)
        else:
            process.terminate()
        process.join(SECONDS_TO_END)
        if process.is_alive():
            process.kill()
            process.join()
        pipe.close()


def _cause(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "the worker process was killed; on a machine short of memory the system does that"
    if code is not None and code < 0:
        return f"the worker process ended by signal {-code} ({signal.Signals(-code).name})"
    return f"the worker process ended early (exit code {code})"


def main(config: WorkerConfig, pipe: Connection) -> None:
    """The life of a worker process: cells arrive as (trial, save) until None does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(config.sweep.machine.threads)
    register_losses(config)

    def send(kind: str, *content: Any) -> None:
        pipe.send((kind, *content))

    worker = Worker(config.sweep, config.todo, RemoteProgress(send), config.workers, config.micro_tokens)
    try:
        while (task := pipe.recv()) is not None:
            trial, save = task
            end = ending(worker, trial, save=save)
            pipe.send(end)
            if end[0] != "ended" or worker.should_restart:
                return
    finally:  # leaving already: asked to in the middle of an exit hook, Python would print a traceback of it
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _end_with_parent() -> None:
    wait([parent_process().sentinel])
    os._exit(1)
