"""Several processes at one cell: each computes a share, and what one learns all know.

Rank 0 is the command as it always is: it reads, decides, writes and speaks. The other processes wait for its
orders (followers.py) and compute with it what is common: `run_on_all_ranks` begins such a part, and ends it in all of
them alike. Within it every process runs the same lines, and `all_gather` and `barrier` are where they meet: each tells
the others what its own lines came to, a result or a failure, as data. A failure ends the part in all of them
(`RankFailure`), so that none waits for another that has left. Outside of it, and in a command that was started alone,
there is one process and every function here is a plain call. What is exchanged is pickled, as between the processes of
multiprocessing, and never kept.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from harness import launch
from harness.errors import is_out_of_memory

T = TypeVar("T")
P = TypeVar("P")

# In the middle of a cell another process is never later than the longest share of work between two meetings; for its
# orders it may wait while rank 0 judges answers for days.
PATIENCE = timedelta(minutes=30)
BETWEEN_ORDERS = timedelta(days=365)


class ProcessesLost(RuntimeError):
    """Another process has ended or does not answer; the message says what to do."""


@dataclass(frozen=True)
class Failure:
    """An error as another process can be told it: its kind where that is known there, its text and its place."""

    kind: type[BaseException]
    text: str
    where: str
    is_out_of_memory: bool

    @classmethod
    def of(cls, error: BaseException, rank: int) -> Failure:
        """The error of a rank; one that another process could not make again becomes a RuntimeError that names it."""
        kind, text = type(error), str(error)
        if not _can_be_made_again(kind, text):
            kind, text = RuntimeError, f"{kind.__name__}: {text}"
        lines = "".join(traceback.format_tb(error.__traceback__)[-3:])
        return cls(kind, text, f"in process {rank}:\n{lines}", is_out_of_memory(error))

    def error(self) -> BaseException:
        """The error made again, with a note of where it happened."""
        made = self.kind(self.text)
        made.add_note(self.where)
        return made


class RankFailure(BaseException):
    """The failure of one rank, which all know of: it goes through the common part to its end without another meeting,
    and there `error` is raised. So it is no Exception, that nothing on the way takes it for an error of its own."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Report(NamedTuple):
    """What a process tells the others at a meeting: where it stands, its result, or why it has none."""

    place: str
    result: Any
    failure: Failure | None


@dataclass
class _Group:
    """The processes of this command.

    together: they are at work on the same part. sharded: weights are split over them. lost: one does not answer.
    """

    rank: int
    count: int
    orders: dist.ProcessGroup
    together: bool = False
    sharded: bool = False
    interrupted: bool = False
    lost: bool = False


_group: _Group | None = None


def join(patience: timedelta = PATIENCE) -> None:
    """Meets the other processes of the launch. Raises: ProcessesLost where they do not come."""
    global _group
    with _answering(launch.rank(), launch.processes(), patience):
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=patience)
        orders = dist.new_group(backend="gloo", timeout=BETWEEN_ORDERS)
    _group = _Group(dist.get_rank(), dist.get_world_size(), orders)


def leave() -> None:
    """Ends what `join` began."""
    global _group
    if _group is not None:
        lost, _group = _group.lost, None
        if not lost:
            dist.destroy_process_group()


def processes() -> int:
    """How many processes share each cell of this command."""
    return 1 if _group is None else _group.count


def count() -> int:
    """How many processes are at work on this part: 1 outside of `run_on_all_ranks`."""
    return _group.count if _group is not None and _group.together else 1


def rank() -> int:
    """The number of this process among those at work on this part."""
    return _group.rank if _group is not None and _group.together else 0


def is_main_process() -> bool:
    """Whether this process is the one that writes."""
    return _group is None or _group.rank == 0


def sharded() -> bool:
    """Whether weights are split over the processes, so that a pass of the model needs all of them."""
    return _group is not None and _group.sharded


def shard() -> None:
    """Weights are split from here on; every process says so."""
    _group.sharded = True


def out_of_step(error: BaseException) -> ProcessesLost:
    """What ends the command where a process has left a pass of a sharded model that the others are still in."""
    _group.lost = True
    return ProcessesLost(
        f"{error}; in a sharded cell the other processes cannot go on: lower micro_tokens= or "
        "add activation_checkpointing=true"
    )


def all_gather(compute: Callable[[], T]) -> list[T]:
    """Every process's result, in the order of their ranks, in all of them; results are pickled, on the CPU.

    Raises: RankFailure in all processes where one of them, or the user by Ctrl-C, raised an error.
    """
    if count() == 1:
        return [compute()]
    reports = _meet(compute, _attempt(compute), with_results=True)
    return [report.result for report in reports]


def barrier(compute: Callable[[], T]) -> T:
    """This process's own result, once all have theirs. Raises: RankFailure in all where one of them failed."""
    if count() == 1:
        return compute()
    mine = _attempt(compute)
    _meet(compute, mine, with_results=False)
    return mine.result


def dealt(
    pieces: Sequence[P], compute: Callable[[P], T], done: Callable[[P, T], None] = lambda piece, result: None
) -> list[T]:
    """The result of every piece, in order, in all processes; each computes its share, a piece a turn.

    Where weights are sharded, all compute every piece. done: told of each result, in every process.
    """
    found: list[T] = []
    size = 1 if sharded() else count()
    for start in range(0, len(pieces), size):
        turn = pieces[start : start + size]
        mine = 0 if sharded() else rank()
        results = all_gather(lambda turn=turn, mine=mine: compute(turn[mine]) if mine < len(turn) else None)
        for piece, result in zip(turn, results, strict=False):
            found.append(result)
            done(piece, result)
    return found


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Adds the gradients of all processes; a parameter without one in some of them counts as zero there.

    Once an optimizer step and not, as DistributedDataParallel does, from hooks of autograd in the last backward
    pass: the bf16 products write a weight's gradient past autograd, and a process may have no row of a small batch.
    """
    if count() == 1 or sharded():  # shards are summed in each backward pass
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    device = trained[0].device
    present = torch.tensor([p.grad is not None for p in trained], dtype=torch.int32, device=device)
    with _answering():
        dist.all_reduce(present, dist.ReduceOp.MAX)
    shared = [parameter for parameter, anywhere in zip(trained, present.tolist(), strict=True) if anywhere]
    for parameter in shared:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    with _answering():
        for sum_ in [dist.all_reduce(p.grad, async_op=True) for p in shared]:
            sum_.wait()


def run_on_all_ranks(compute: Callable[[], T], *order: Any) -> T:
    """Rank 0 alone calls it: tells the followers `order`, and computes the common part with them."""
    if _group is None:
        return compute()
    _group.together = True  # from here on Ctrl-C waits for the next meeting
    _tell(order)
    return run_own_part(compute)


def run_own_part(compute: Callable[[], T]) -> T:
    """This process's part of what all compute: it ends in all of them with a result or with the same error."""
    _group.together = True
    try:
        return barrier(lambda: compute())  # under one name in all of them
    except RankFailure as failure:
        raise failure.error from None
    finally:
        _group.together = False


def what_happened(error: BaseException) -> BaseException:
    """The error itself, where it was met as the failure of a rank."""
    return error.error if isinstance(error, RankFailure) else error


def next_order() -> tuple[Any, ...] | None:
    """What rank 0 tells its followers to do; None when it has ended."""
    order = [None]
    with _answering():
        dist.broadcast_object_list(order, src=0, group=_group.orders)
    return order[0]


def _tell(order: tuple[Any, ...] | None) -> None:
    with _answering():
        dist.broadcast_object_list([order], src=0, group=_group.orders)


@contextlib.contextmanager
def leading(patience: timedelta = PATIENCE) -> Iterator[None]:
    """Rank 0's whole command: the followers are sent home however it ends."""
    join(patience)
    with _interruptible():
        try:
            yield
        finally:
            if not _group.lost:
                with contextlib.suppress(ProcessesLost):
                    _tell(None)
            leave()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends a common part at its next meeting, in all processes; outside of one it acts at once.

    It comes more than once: from the terminal, and from the launcher, which hands it on.
    """

    def interrupt(*_: object) -> None:
        first, _group.interrupted = not _group.interrupted, True
        if first and not _group.together:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Attempt(NamedTuple):
    """What this process's own lines came to: a result, or an error."""

    result: Any
    error: BaseException | None


def failing_rank(reports: Sequence[Report]) -> int | None:
    """The rank whose failure all raise; None where every process has its result.

    Memory that ran out can be mended, so any other failure goes before it.
    """
    failed = [rank for rank, report in enumerate(reports) if report.failure is not None]
    worse = [rank for rank in failed if not reports[rank].failure.is_out_of_memory]
    return next(iter(worse or failed), None)


def _attempt(compute: Callable[[], T]) -> _Attempt:
    """What the computation comes to here. Raises: at once what all know of already, or what nobody can be told."""
    try:
        result = compute()
    except (RankFailure, ProcessesLost):
        raise
    except BaseException as error:
        return _Attempt(None, error)
    return _Attempt(result, KeyboardInterrupt() if _group.interrupted else None)


def _meet(compute: Callable[[], Any], mine: _Attempt, *, with_results: bool) -> list[Report]:
    """The reports of all processes; results are in them where `with_results`. Raises: RankFailure in all."""
    failure = None if mine.error is None else Failure.of(mine.error, _group.rank)
    report = Report(
        getattr(compute, "__qualname__", ""), mine.result if with_results and failure is None else None, failure
    )
    reports: list[Any] = [None] * _group.count
    with _answering():
        dist.all_gather_object(reports, report)
    failed = failing_rank(reports)
    if failed is not None:
        raise RankFailure(mine.error if failed == _group.rank else reports[failed].failure.error())
    places = [report.place for report in reports]
    if len(set(places)) > 1:  # a fault of the program, which would end in a hang or in wrong numbers
        raise RankFailure(RuntimeError(f"the processes are out of step: {', '.join(places)}"))
    return reports


def _can_be_made_again(kind: type[BaseException], text: str) -> bool:
    """Whether an error of a known kind has the same text when it is made of its text alone."""
    if kind.__module__.partition(".")[0] not in ("builtins", "torch", "harness"):
        return False
    try:
        return str(kind(text)) == text
    except Exception:
        return False


@contextlib.contextmanager
def _answering(number: int | None = None, of: int | None = None, patience: timedelta = PATIENCE) -> Iterator[None]:
    """What is exchanged inside the block needs every process to answer. Raises: ProcessesLost."""
    try:
        yield
    except RuntimeError as error:
        if _group is not None:
            number, of = _group.rank, _group.count
            _group.lost = True
        first = (str(error).splitlines() or [""])[0]
        raise ProcessesLost(
            f"process {number} of {of} (from 0) gets no answer from another one, which has ended or hangs ({first}); "
            "look at what it said last. Finished cells are kept: the same command goes on from there"
        ) from error
