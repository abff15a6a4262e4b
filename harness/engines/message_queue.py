"""Message queues of two processes, as files on a disk that their machines share, and the worker at one end.

Each direction is a file of JSON lines that one side appends to and the other reads on from where it was. It is opened
anew each time, so that a network file system shows what the other side wrote.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import torch

from harness.engines.protocol import Message
from harness.engines.worker import RemoteProgress, Worker, WorkerConfig, ending, register_losses

TO_WORKER, FROM_WORKER = "orders.jsonl", "answers.jsonl"
HERE, CELL, STILL_HERE, LEAVE = "here", "cell", "still here", "leave"
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_OF_SILENCE = 600.0  # after which a worker without a cell takes its command for dead


class MessageQueue:
    """The messages of one direction."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def append(self, *message: Any) -> None:
        """Adds a line: text, numbers, truth values, None."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(message) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def fresh(self) -> list[Message]:
        """The messages that are new; a line that is half written waits."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                content = file.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        return [tuple(json.loads(line)) for line in whole.splitlines()]


def serve(config: WorkerConfig, folder: str) -> None:
    """The life of a worker: it says who it is, then runs the cells of its messages until one tells it to leave.

    One whose command has said nothing for SECONDS_OF_SILENCE leaves too.
    """
    for number in (signal.SIGTERM, signal.SIGUSR2):  # cancelled, or at the end of its time: the lock is given up
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    torch.set_num_threads(config.sweep.machine.threads)
    register_losses(config)
    from_worker, to_worker = MessageQueue(Path(folder) / FROM_WORKER), MessageQueue(Path(folder) / TO_WORKER)
    trials = {config.sweep.identity.cell_id(trial): trial for trial in config.todo}
    worker = Worker(config.sweep, config.todo, RemoteProgress(from_worker.append), config.workers, config.micro_tokens)
    from_worker.append(HERE, socket.gethostname(), os.getpid())
    heard = time.monotonic()
    while time.monotonic() - heard < SECONDS_OF_SILENCE:
        for kind, *content in to_worker.fresh():
            if kind == LEAVE:
                return
            if kind == CELL:
                cell, save = content
                end = ending(worker, trials[cell], save=save)
                from_worker.append(*end)
                if end[0] != "ended" or worker.should_restart:
                    return
            heard = time.monotonic()
        time.sleep(SECONDS_BETWEEN_LOOKS)
