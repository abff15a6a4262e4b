"""What a machine of a Ray cluster does: a worker in a process of its own that shares no disk with the command.

It runs cells in a folder of its own and says what `local` processes say through their pipe; then the files of the
cell follow in chunks, and the command stores them. The module knows nothing of Ray: an actor is made of it there.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from typing import Any

from harness.cache import cache_folder
from harness.compute.machine import machine_here
from harness.engines.file_chunks import Chunk, cell_files, chunks, keep, put
from harness.engines.protocol import Message
from harness.engines.worker import RemoteProgress, Worker, WorkerConfig, ending, guarded, register_losses
from harness.errors import UsageError
from harness.experiment.identity import NUMERICS
from harness.experiment.trial import Trial
from harness.model.sources import find

PATIENCE = 8  # messages that wait to be fetched before the worker waits too


@dataclass(frozen=True)
class ActorConfig:
    """What an actor is made with.

    asked: what Ray sets aside for it. plugins: name of a file and its content, for the plug-ins that are files.
    """

    worker: WorkerConfig
    asked: Mapping[str, float]
    plugins: Mapping[str, bytes]
    numerics: int = NUMERICS


@dataclass(frozen=True)
class CellTask:
    """A cell to run, with the files that the command's folder holds of it."""

    trial: Trial
    save: bool
    files: Sequence[Chunk]


@dataclass(frozen=True)
class Hello:
    """Where an actor is, as (host, cache folder), and why it cannot run cells ("": it can)."""

    place: tuple[str, str]
    problem: str = ""


def place_here() -> tuple[str, str]:
    """This machine and its cache: who shares both shares what the cache holds."""
    return socket.gethostname(), str(cache_folder())


class Actor:
    """One worker on a node; its model is loaded for the first cell."""

    def __init__(self, config: ActorConfig, micro_tokens: int | None) -> None:
        self._config = replace(config, worker=replace(config.worker, micro_tokens=micro_tokens))
        self._said: Queue[Message | None] = Queue(PATIENCE)
        # One thread that computes, always the same; the actor's own hands on what is said meanwhile.
        self._computing = ThreadPoolExecutor(1)
        self._folder = tempfile.TemporaryDirectory(prefix="cells-")
        self._arrived = Path(self._folder.name) / "arrived"

    def hello(self) -> Hello:
        """Gets ready. An actor that cannot run cells says why."""
        place = place_here()
        if self._config.numerics != NUMERICS:
            return Hello(place, "another version of preference-harness is installed there")
        config = self._config.worker
        try:
            source = find(config.sweep.options.model, config.sweep.options.model_revision)
        except UsageError as error:
            return Hello(place, str(error))
        if source.digest != config.sweep.identity.source.digest:
            return Hello(place, f"model={config.sweep.options.model} has other weights there")
        machine = replace(
            machine_here(config.sweep.options, self._config.asked), precision=config.sweep.machine.precision
        )
        out = str(Path(self._folder.name) / "out")
        sweep = replace(
            config.sweep,
            machine=machine,
            identity=replace(config.sweep.identity, source=source),
            options=config.sweep.options.model_copy(update={"out": out}),
        )
        register_losses(replace(config, plugins=self._unpacked_plugins()))
        self._worker = Worker(sweep, config.todo, RemoteProgress(self._say), config.workers, config.micro_tokens)
        return Hello(place)

    def _unpacked_plugins(self) -> list[str]:
        """The plug-ins of the command: files under a path of this machine, modules by name."""
        sources = []
        for name in self._config.worker.plugins:
            if name in self._config.plugins:
                place = Path(tempfile.mkdtemp(dir=self._folder.name)) / Path(name).name
                place.write_bytes(self._config.plugins[name])
                name = str(place)
            sources.append(name)
        return sources

    def receive(self, chunk: Chunk) -> None:
        """Takes a chunk of a file of the cache from another machine."""
        put(self._arrived, chunk)

    def keep_received(self) -> None:
        """Puts what has been received into this machine's cache."""
        keep(self._arrived, cache_folder())
        shutil.rmtree(self._arrived)

    def measure_reference(self, place: tuple[str, str]) -> Iterator[Message]:
        """What all cells need of the reference; its files follow, `kept`, where `place` is another than this one."""
        yield from self._while(lambda: self._measure_reference(place))

    def run(self, task: CellTask) -> Iterator[Message]:
        """One cell; its files follow what is said of it, and then its end."""
        yield from self._while(lambda: self._run(task))

    def _while(self, work: Any) -> Iterator[Message]:
        """What is said while the work is done, the last thing the way in which it ended."""

        def compute() -> None:
            try:
                self._say(*guarded(work))
            finally:
                self._said.put(None)

        self._computing.submit(compute)
        while (message := self._said.get()) is not None:
            yield message

    def _say(self, kind: str, *content: Any) -> None:
        self._said.put((kind, *content))

    def _measure_reference(self, place: tuple[str, str]) -> Message:
        files = self._worker.measure_reference()
        self._say("kept", [str(path.relative_to(cache_folder())) for path in files])
        if place != place_here():
            for chunk in chunks(cache_folder(), files):
                self._say("file", chunk)
        return "ended", self._worker.fitting_tokens, self._worker.should_restart

    def _run(self, task: CellTask) -> Message:
        folder = self._worker.sweep.folder(task.trial)
        shutil.rmtree(folder, ignore_errors=True)
        for chunk in task.files:
            put(folder, chunk)
        try:
            end = ending(self._worker, task.trial, save=task.save)
            if end[0] == "ended":
                for chunk in chunks(folder, cell_files(folder, model=task.save)):
                    self._say("file", chunk)
            return end
        finally:
            shutil.rmtree(folder, ignore_errors=True)
