"""What a machine of a Ray cluster does: a worker in a process of its own that shares no disk with the command.

It runs cells in a folder of its own and says what `local` processes say through their pipe; then the files of the
cell follow in pieces, and the command stores them. The module knows nothing of Ray: an actor is made of it there.
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
from harness.engines.parcels import Piece, cell_files, keep, pieces, put
from harness.engines.protocol import Message
from harness.engines.worker import Duty, Relay, Worker, ending, guarded, register_losses
from harness.errors import UsageError
from harness.experiment.identity import NUMERICS
from harness.experiment.trial import Trial
from harness.model.sources import find

PATIENCE = 8  # messages that wait to be fetched before the worker waits too


@dataclass(frozen=True)
class Errand:
    """What an actor is made with. plugins: name of a file and its content, for the plug-ins that are files."""

    duty: Duty
    asked: Mapping[str, float]
    plugins: Mapping[str, bytes]
    numerics: int = NUMERICS


@dataclass(frozen=True)
class Order:
    """A cell to run, with the files that the command's folder holds of it."""

    trial: Trial
    save: bool
    files: Sequence[Piece]


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

    def __init__(self, errand: Errand, micro_tokens: int | None) -> None:
        self._errand = replace(errand, duty=replace(errand.duty, micro_tokens=micro_tokens))
        self._said: Queue[Message | None] = Queue(PATIENCE)
        # One thread that computes, always the same; the actor's own hands on what is said meanwhile.
        self._computing = ThreadPoolExecutor(1)
        self._folder = tempfile.TemporaryDirectory(prefix="cells-")
        self._parcel = Path(self._folder.name) / "arrived"

    def hello(self) -> Hello:
        """Gets ready. An actor that cannot run cells says why."""
        place = place_here()
        if self._errand.numerics != NUMERICS:
            return Hello(place, "another version of preference-harness is installed there")
        duty = self._errand.duty
        try:
            source = find(duty.sweep.options.model, duty.sweep.options.model_revision)
        except UsageError as error:
            return Hello(place, str(error))
        if source.digest != duty.sweep.identity.source.digest:
            return Hello(place, f"model={duty.sweep.options.model} has other weights there")
        machine = replace(machine_here(duty.sweep.options, self._errand.asked), precision=duty.sweep.machine.precision)
        out = str(Path(self._folder.name) / "out")
        sweep = replace(
            duty.sweep,
            machine=machine,
            identity=replace(duty.sweep.identity, source=source),
            options=duty.sweep.options.model_copy(update={"out": out}),
        )
        register_losses(replace(duty, plugins=self._unpacked_plugins()))
        self._worker = Worker(sweep, duty.todo, Relay(self._say), duty.workers, duty.micro_tokens)
        return Hello(place)

    def _unpacked_plugins(self) -> list[str]:
        """The plug-ins of the command: files under a path of this machine, modules by name."""
        sources = []
        for name in self._errand.duty.plugins:
            if name in self._errand.plugins:
                place = Path(tempfile.mkdtemp(dir=self._folder.name)) / Path(name).name
                place.write_bytes(self._errand.plugins[name])
                name = str(place)
            sources.append(name)
        return sources

    def receive(self, piece: Piece) -> None:
        """Takes a piece of a file of the cache from another machine."""
        put(self._parcel, piece)

    def keep_received(self) -> None:
        """Puts what has been received into this machine's cache."""
        keep(self._parcel, cache_folder())
        shutil.rmtree(self._parcel)

    def measure_reference(self, place: tuple[str, str]) -> Iterator[Message]:
        """What all cells need of the reference; its files follow, `kept`, where `place` is another than this one."""
        yield from self._while(lambda: self._measure_reference(place))

    def run(self, order: Order) -> Iterator[Message]:
        """One cell; its files follow what is said of it, and then its end."""
        yield from self._while(lambda: self._run(order))

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
            for piece in pieces(cache_folder(), files):
                self._say("file", piece)
        return "ended", self._worker.fitting_tokens, self._worker.worn

    def _run(self, order: Order) -> Message:
        folder = self._worker.sweep.folder(order.trial)
        shutil.rmtree(folder, ignore_errors=True)
        for piece in order.files:
            put(folder, piece)
        try:
            end = ending(self._worker, order.trial, save=order.save)
            if end[0] == "ended":
                for piece in pieces(folder, cell_files(folder, model=order.save)):
                    self._say("file", piece)
            return end
        finally:
            shutil.rmtree(folder, ignore_errors=True)
