"""Cells in actors of a Ray cluster, whose machines need not share a disk with the command.

The command holds the claim on a cell while an actor works at it, takes the cell's files as pieces and stores them
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
from harness.engines.actor import Actor, Errand, Hello, Order, place_here
from harness.engines.cluster import connect, places, request, require_room
from harness.engines.parcels import Piece, cell_files, deliver, keep, pieces, put
from harness.engines.protocol import Message
from harness.engines.worker import duty_of
from harness.errors import SweepStopped, UsageError, storage_failure
from harness.experiment.trial import Trial
from harness.progress import Progress
from results.cells import store

SECONDS_BETWEEN_LOOKS = 5.0  # at the nodes, while nothing is said
PARCEL = ".parcel.tmp"  # in a claimed cell's folder, where whoever claims it next removes what was left behind


class Actors:
    """An engine of Ray actors. Raises: UsageError where no node has room for a cell."""

    attempts = 4  # a machine that goes away is nothing that a cell has done

    def __init__(self, sweep: Sweep, todo: Sequence[Trial], progress: Progress) -> None:
        options = sweep.options
        connect(options.ray_address)
        self._asked = request(options)
        require_room(self._asked)
        self.lanes = min(options.workers or places(self._asked), len(todo))
        plugins = {name: Path(name).expanduser().read_bytes() for name in options.plugins if name.endswith(".py")}
        self._errand = ray.put(Errand(duty_of(sweep, todo, self.lanes), self._asked, plugins))
        self._sweep, self._progress = sweep, progress
        self._make = ray.remote(Actor).options(**self._asked)
        self._actors: dict[int, Any] = {}
        self._coming: dict[Any, int] = {}  # an actor's first answer -> lane
        self._saying: dict[Any, int] = {}  # what an actor says during an order -> lane
        self._tokens: dict[int, int | None] = {}
        self._orders: dict[int, _Cell | _Reference] = {}
        self._told: deque[tuple[int, Message]] = deque()
        self._reference: list[str] | None = None if options.store or options.start == "sft" else []
        self._reference_place = self._here = place_here()
        self._idle: dict[int, Hello] = {}  # ready but for the reference

    def start(self, lane: int, micro_tokens: int | None) -> bool:
        """Asks for an actor; Ray makes it where there is room, at once or later."""
        self._actors[lane] = self._make.remote(self._errand, micro_tokens)
        self._tokens[lane] = micro_tokens
        self._coming[self._actors[lane].hello.remote()] = lane
        return False

    def give(self, lane: int, trial: Trial, *, save: bool) -> None:
        """Claims the cell and sends it, with what is there of it already."""
        folder, cell = self._sweep.folder(trial), _Cell(self._sweep.folder(trial))
        try:
            cell.claim()
        except store.Claimed as error:
            self._told.append((lane, ("note", f"{trial.label}: left alone for now: {error}")))
            self._told.append((lane, ("ended", self._tokens[lane], False)))
            return
        self._orders[lane] = cell
        if not self._sweep.missing(trial, save=save):
            self._told.append((lane, ("cell_kept", trial.label, "made by another command meanwhile")))
            self._told.append((lane, ("ended", self._tokens[lane], False)))
            self._close(lane)
            return
        with_model = bool(self._sweep.options.generate) and store.is_done(folder)
        order = Order(trial, save, tuple(pieces(folder, cell_files(folder, model=with_model))))
        self._follow(lane, self._actors[lane].run, order)

    def listen(self) -> Iterator[tuple[int, Message]]:
        """What is to be said at once, else the next that an actor says or that becomes of it."""
        while not self._told:
            ready, _ = ray.wait([*self._coming, *self._saying], timeout=SECONDS_BETWEEN_LOOKS)
            if not ready:
                self._require_nodes()
            for source in ready:
                lane = self._coming.pop(source, None)
                if lane is None:
                    self._hear(self._saying[source], source)
                else:
                    self._welcome(lane, source)
        while self._told:
            yield self._told.popleft()

    def dismiss(self, lane: int, *, ask: bool) -> None:
        """Ends an actor; asked, it tidies up first."""
        actor = self._actors.pop(lane)
        if ask:
            actor.__ray_terminate__.remote()
        else:
            ray.kill(actor)
        for sources in (self._coming, self._saying):
            for source in [source for source, its in sources.items() if its == lane]:
                del sources[source]
        self._idle.pop(lane, None)
        self._close(lane)
        if self._idle and not any(isinstance(order, _Reference) for order in self._orders.values()):
            self._prepare(*self._idle.popitem())

    def _follow(self, lane: int, method: Any, order: Any) -> None:
        self._saying[method.options(num_returns="streaming").remote(order)] = lane

    def _close(self, lane: int) -> None:
        if lane in self._orders:
            self._orders.pop(lane).close()

    def _welcome(self, lane: int, source: Any) -> None:
        """An actor has said where it is, or was lost on the way."""
        try:
            hello: Hello = ray.get(source)
        except RayError as error:
            self._told.append((lane, ("lost", _cause(error), True)))
            return
        if hello.problem:
            raise SweepStopped(f"the cluster's node {hello.place[0]} cannot run these cells: {hello.problem}")
        self._prepare(lane, hello)

    def _prepare(self, lane: int, hello: Hello) -> None:
        """Sees to it that a new actor has the reference, then lets it take cells."""
        if self._reference is None and any(isinstance(order, _Reference) for order in self._orders.values()):
            self._idle[lane] = hello
        elif self._reference is None:
            self._orders[lane] = _Reference(hello)
            self._follow(lane, self._actors[lane].measure_reference, self._here)
        else:
            if hello.place != self._reference_place and self._reference:
                cache = cache_folder()
                for piece in pieces(cache, [cache / name for name in self._reference]):
                    self._actors[lane].receive.remote(piece)
                self._actors[lane].keep_received.remote()
            self._told.append((lane, ("ready",)))

    def _hear(self, lane: int, source: Any) -> None:
        """The next thing that an actor says during an order."""
        try:
            kind, *content = message = ray.get(next(source))
        except StopIteration:
            del self._saying[source]
            return
        except RayError as error:
            message = ("lost", _cause(error), True)
            del self._saying[source]
            self._told.append((lane, message))
            return
        order = self._orders[lane]
        try:
            if kind in ("file", "kept"):
                order.take(*content)
            elif kind in ("cell_finished", "cell_failed"):
                order.last_words = message  # said when the files are here
            elif kind == "ended":
                self._finish(lane, order, message)
            else:
                self._told.append((lane, message))
        except OSError as error:
            if (reason := storage_failure(error)) is None:
                raise
            raise SweepStopped(reason) from error

    def _finish(self, lane: int, order: _Cell | _Reference, message: Message) -> None:
        order.store()
        self._close(lane)
        if isinstance(order, _Cell):
            if order.last_words:
                self._told.append((lane, order.last_words))
            self._told.append((lane, message))
            return
        self._reference, self._reference_place = order.names, order.hello.place
        self._told.append((lane, ("ready",)))
        for other in list(self._idle):
            self._prepare(other, self._idle.pop(other))

    def _require_nodes(self) -> None:
        """Raises: SweepStopped where the nodes that had room for a cell are gone."""
        try:
            require_room(self._asked)
        except UsageError as error:
            raise SweepStopped(f"{error}; then run the same command again: finished cells are kept") from None


class _Cell:
    """A cell that an actor works at: claimed here, its files arriving in its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._held = folder, ExitStack()
        self.last_words: Message | None = None

    def claim(self) -> None:
        """Raises: Claimed where another command has it."""
        self._held.enter_context(store.claim(self._folder))

    def take(self, piece: Piece) -> None:
        put(self._folder / PARCEL, piece)

    def store(self) -> None:
        if (self._folder / PARCEL).is_dir():
            deliver(self._folder / PARCEL, self._folder)

    def close(self) -> None:
        shutil.rmtree(self._folder / PARCEL, ignore_errors=True)
        self._held.close()


class _Reference:
    """The reference that an actor measures: the names of its files, and the files where they come from elsewhere."""

    def __init__(self, hello: Hello) -> None:
        self.hello, self.names = hello, []
        self._parcel = tempfile.TemporaryDirectory(prefix="reference-")

    def take(self, what: Piece | list[str]) -> None:
        if isinstance(what, Piece):
            put(Path(self._parcel.name), what)
        else:
            self.names = what

    def store(self) -> None:
        keep(Path(self._parcel.name), cache_folder())

    def close(self) -> None:
        self._parcel.cleanup()


def _cause(error: RayError) -> str:
    """Why an actor is gone, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    said = lines[-1] if isinstance(error, RayTaskError) else lines[0]  # the end of a traceback, or Ray's own sentence
    return f"its worker on the Ray cluster was lost ({type(error).__name__}: {said[:200]})"
