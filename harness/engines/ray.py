"""Cells in actors of a Ray cluster, whose machines need not share a disk with the command.

The command holds the lock on a cell while an actor works at it, takes the cell's files as chunks and stores them
whole. The reference is a first stage: the first actor that is ready measures it (and makes the starting weights of
start=sft), and machines with another cache are sent what it made, so that all cells compare with the same numbers.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from harness.cache import cache_folder
from harness.cells.sweep import Sweep
from harness.engines.actor import Actor, ActorConfig, CellTask, Hello, place_here
from harness.engines.cluster import connect, places, request, require_room
from harness.engines.file_chunks import Chunk, cell_files, chunks, deliver, keep, put
from harness.engines.protocol import Message
from harness.engines.worker import worker_config
from harness.errors import SweepStopped, UsageError, storage_failure
from harness.experiment.trial import Trial
from harness.progress import Progress
from results.cells import store

SECONDS_BETWEEN_LOOKS = 5.0  # at the nodes, while nothing is said
ARRIVED = ".parcel.tmp"  # in a locked cell's folder, where whoever locks it next removes what was left behind


class Actors:
    """An engine of Ray actors. Raises: UsageError where no node has room for a cell."""

    attempts = 4  # a machine that goes away is nothing that a cell has done

    def __init__(self, sweep: Sweep, todo: Sequence[Trial], progress: Progress) -> None:
        options = sweep.options
        connect(options.ray_address)
        self._asked = request(options)
        require_room(self._asked)
        self.slots = min(options.workers or places(self._asked), len(todo))
        plugins = {name: Path(name).expanduser().read_bytes() for name in options.plugins if name.endswith(".py")}
        self._config = ray.put(ActorConfig(worker_config(sweep, todo, self.slots), self._asked, plugins))
        self._sweep, self._progress = sweep, progress
        self._make = ray.remote(Actor).options(**self._asked)
        self._actors: dict[int, Any] = {}
        self._coming: dict[Any, int] = {}  # an actor's first reply -> slot
        self._saying: dict[Any, int] = {}  # the messages of an actor during a task -> slot
        self._tokens: dict[int, int | None] = {}
        self._tasks: dict[int, _Cell | _Reference] = {}
        self._messages: deque[tuple[int, Message]] = deque()
        self._reference: list[str] | None = None if options.store or options.start == "sft" else []
        self._reference_place = self._here = place_here()
        self._idle: dict[int, Hello] = {}  # ready but for the reference

    def start(self, slot: int, micro_tokens: int | None) -> bool:
        """Asks for an actor; Ray makes it where there is room, at once or later."""
        self._actors[slot] = self._make.remote(self._config, micro_tokens)
        self._tokens[slot] = micro_tokens
        self._coming[self._actors[slot].hello.remote()] = slot
        return False

    def give(self, slot: int, trial: Trial, *, save: bool) -> None:
        """Locks the cell and sends it, with what is there of it already."""
        folder, cell = self._sweep.folder(trial), _Cell(self._sweep.folder(trial))
        try:
            cell.lock()
        except store.Claimed as error:
            self._messages.append((slot, ("note", f"{trial.label}: left alone for now: {error}")))
            self._messages.append((slot, ("ended", self._tokens[slot], False)))
            return
        self._tasks[slot] = cell
        if not self._sweep.missing(trial, save=save):
            self._messages.append((slot, ("cell_kept", trial.label, "made by another command meanwhile")))
            self._messages.append((slot, ("ended", self._tokens[slot], False)))
            self._close(slot)
            return
        with_model = bool(self._sweep.options.generate) and store.is_done(folder)
        task = CellTask(trial, save, tuple(chunks(folder, cell_files(folder, model=with_model))))
        self._follow(slot, self._actors[slot].run, task)

    def listen(self) -> Iterator[tuple[int, Message]]:
        """What is to be said at once, else the next that an actor says or that becomes of it."""
        while not self._messages:
            ready, _ = ray.wait([*self._coming, *self._saying], timeout=SECONDS_BETWEEN_LOOKS)
            if not ready:
                self._require_nodes()
            for source in ready:
                slot = self._coming.pop(source, None)
                if slot is None:
                    self._hear(self._saying[source], source)
                else:
                    self._welcome(slot, source)
        while self._messages:
            yield self._messages.popleft()

    def dismiss(self, slot: int, *, ask: bool) -> None:
        """Ends an actor; asked, it tidies up first."""
        actor = self._actors.pop(slot)
        if ask:
            actor.__ray_terminate__.remote()
        else:
            ray.kill(actor)
        for sources in (self._coming, self._saying):
            for source in [source for source, its in sources.items() if its == slot]:
                del sources[source]
        self._idle.pop(slot, None)
        self._close(slot)
        if self._idle and not any(isinstance(task, _Reference) for task in self._tasks.values()):
            self._prepare(*self._idle.popitem())

    def _follow(self, slot: int, method: Any, task: Any) -> None:
        self._saying[method.options(num_returns="streaming").remote(task)] = slot

    def _close(self, slot: int) -> None:
        if slot in self._tasks:
            self._tasks.pop(slot).close()

    def _welcome(self, slot: int, source: Any) -> None:
        """An actor has said where it is, or was lost on the way."""
        try:
            hello: Hello = ray.get(source)
        except RayError as error:
            self._messages.append((slot, ("lost", _cause(error), True)))
            return
        if hello.problem:
            raise SweepStopped(f"the cluster's node {hello.place[0]} cannot run these cells: {hello.problem}")
        self._prepare(slot, hello)

    def _prepare(self, slot: int, hello: Hello) -> None:
        """Sees to it that a new actor has the reference, then lets it take cells."""
        if self._reference is None and any(isinstance(task, _Reference) for task in self._tasks.values()):
            self._idle[slot] = hello
        elif self._reference is None:
            self._tasks[slot] = _Reference(hello)
            self._follow(slot, self._actors[slot].measure_reference, self._here)
        else:
            if hello.place != self._reference_place and self._reference:
                cache = cache_folder()
                for chunk in chunks(cache, [cache / name for name in self._reference]):
                    self._actors[slot].receive.remote(chunk)
                self._actors[slot].keep_received.remote()
            self._messages.append((slot, ("ready",)))

    def _hear(self, slot: int, source: Any) -> None:
        """The next message of an actor during a task."""
        try:
            kind, *content = message = ray.get(next(source))
        except StopIteration:
            del self._saying[source]
            return
        except RayError as error:
            message = ("lost", _cause(error), True)
            del self._saying[source]
            self._messages.append((slot, message))
            return
        task = self._tasks[slot]
        try:
            if kind in ("file", "kept"):
                task.take(*content)
            elif kind in ("cell_finished", "cell_failed"):
                task.last_words = message  # said when the files are here
            elif kind == "ended":
                self._finish(slot, task, message)
            else:
                self._messages.append((slot, message))
        except OSError as error:
            if (reason := storage_failure(error)) is None:
                raise
            raise SweepStopped(reason) from error

    def _finish(self, slot: int, task: _Cell | _Reference, message: Message) -> None:
        task.store()
        self._close(slot)
        if isinstance(task, _Cell):
            if task.last_words:
                self._messages.append((slot, task.last_words))
            self._messages.append((slot, message))
            return
        self._reference, self._reference_place = task.names, task.hello.place
        self._messages.append((slot, ("ready",)))
        for other in list(self._idle):
            self._prepare(other, self._idle.pop(other))

    def _require_nodes(self) -> None:
        """Raises: SweepStopped where the nodes that had room for a cell are gone."""
        try:
            require_room(self._asked)
        except UsageError as error:
            raise SweepStopped(f"{error}; then run the same command again: finished cells are kept") from None


class _Cell:
    """A cell that an actor works at: locked here, its files arriving in its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._held = folder, ExitStack()
        self.last_words: Message | None = None

    def lock(self) -> None:
        """Raises: Claimed where another command has it."""
        self._held.enter_context(store.claim(self._folder))

    def take(self, chunk: Chunk) -> None:
        put(self._folder / ARRIVED, chunk)

    def store(self) -> None:
        if (self._folder / ARRIVED).is_dir():
            deliver(self._folder / ARRIVED, self._folder)

    def close(self) -> None:
        shutil.rmtree(self._folder / ARRIVED, ignore_errors=True)
        self._held.close()


class _Reference:
    """The reference that an actor measures: the names of its files, and the files where they come from elsewhere."""

    def __init__(self, hello: Hello) -> None:
        self.hello, self.names = hello, []
        self._arrived = tempfile.TemporaryDirectory(prefix="reference-")

    def take(self, what: Chunk | list[str]) -> None:
        if isinstance(what, Chunk):
            put(Path(self._arrived.name), what)
        else:
            self.names = what

    def store(self) -> None:
        keep(Path(self._arrived.name), cache_folder())

    def close(self) -> None:
        self._arrived.cleanup()


def _cause(error: RayError) -> str:
    """Why an actor is gone, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    said = lines[-1] if isinstance(error, RayTaskError) else lines[0]  # the end of a traceback, or Ray's own sentence
    return f"its worker on the Ray cluster was lost ({type(error).__name__}: {said[:200]})"
