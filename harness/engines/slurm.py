"""Cells in jobs of a Slurm cluster whose machines share a disk with the command: `out`, the cache and the plug-ins.

A job is a long-lived worker: it waits in the queue once, loads the model once and runs many cells. It is spoken to
through files (message_queue.py), locks the cells itself, and is replaced when it ends before it was told to: taken by
another user, lost with its machine, or at the end of its time. Submitting and watching is submitit's work.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedSubmissionError, UncompletedJobError

from harness.cells.sweep import Sweep
from harness.compute.machine import Machine, machine_here
from harness.engines.message_queue import CELL, FROM_WORKER, HERE, LEAVE, STILL_HERE, TO_WORKER, MessageQueue, serve
from harness.engines.protocol import Message
from harness.engines.worker import worker_config
from harness.errors import UsageError
from harness.experiment.trial import Trial
from harness.options.run import Options
from harness.progress import Progress
from results.cells import store

MOST_JOBS = 8  # where workers= does not say
CPUS = 4
SECONDS_BETWEEN_LOOKS = 0.5  # at what the jobs say
SECONDS_BETWEEN_STATES = 15.0  # looks at the queue, which is asked for all jobs at once
SECONDS_TO_END = 60.0  # of a job that was cancelled
ALIVE = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "STOPPED", "SIGNALING", "RESIZING", "UNKNOWN")
SHORT_OF_MEMORY = "OUT_OF_MEMORY"


@dataclass
class _Job:
    """One worker. folder: its message queues, logs. who: its host and process, once it runs. cell: the one it holds."""

    job: submitit.Job[None]
    folder: Path
    to_worker: MessageQueue
    from_worker: MessageQueue
    who: tuple[str, int] | None = None
    cell: Path | None = None

    def heard(self) -> Iterator[Message]:
        """What it has said since."""
        for kind, *content in self.from_worker.fresh():
            if kind == HERE:
                self.who = content[0], content[1]
            yield ("ready",) if kind == HERE else (kind, *content)

    def state(self) -> str:
        """What Slurm calls its state now: PENDING, RUNNING, TIMEOUT ..."""
        return self.job.watcher.get_state(self.job.job_id, mode="cache").partition(" ")[0].rstrip("+").upper()

    def has_ended(self) -> bool:
        """Whether it has left, as far as is known."""
        return self.job.paths.result_pickle.exists() or self.state() not in ALIVE


class Jobs:
    """An engine of Slurm jobs. Raises: UsageError where Slurm refuses the request."""

    attempts = 4  # a machine that goes away is nothing that a cell has done

    def __init__(self, sweep: Sweep, todo: Sequence[Trial]) -> None:
        self._sweep, self._todo = sweep, todo
        self.slots = min(sweep.options.workers or MOST_JOBS, len(todo))
        self._jobs: dict[int, _Job] = {}
        self._looked = time.monotonic()

    def start(self, slot: int, micro_tokens: int | None) -> bool:
        """Submits a job; it says so when it runs, and is given a cell then."""
        self._sweep.place.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".slurm-", dir=self._sweep.place)).absolute()
        config = worker_config(self._sweep, self._todo, self.slots, micro_tokens)
        job = _submit(self._sweep.options, folder, serve, config, str(folder))
        self._jobs[slot] = _Job(job, folder, MessageQueue(folder / TO_WORKER), MessageQueue(folder / FROM_WORKER))
        return False

    def give(self, slot: int, trial: Trial, *, save: bool) -> None:
        """Writes the cell into the worker's message queue."""
        held = self._jobs[slot]
        held.cell = self._sweep.folder(trial)
        held.to_worker.append(CELL, self._sweep.identity.cell_id(trial), save)

    def listen(self) -> Iterator[tuple[int, Message]]:
        """What the jobs have said; that one is gone, where the queue says so."""
        while True:
            ended = self._ended() if time.monotonic() - self._looked > SECONDS_BETWEEN_STATES else []
            said = [(slot, message) for slot, held in self._jobs.items() for message in held.heard()]
            spoke = {slot for slot, _ in said}
            said += [(slot, self._loss(self._jobs[slot])) for slot in ended if slot not in spoke]
            if said:
                yield from said
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def dismiss(self, slot: int, *, ask: bool) -> None:
        """Ends a job: one that waits for cells is told to leave, any other cancelled, and its lock goes with it."""
        held = self._jobs.pop(slot)
        if ask and held.who is not None:
            held.to_worker.append(LEAVE)
        else:
            self._cancel(held)
            if held.cell is not None and held.who is not None:
                store.release(held.cell, *held.who)
        if ask:
            self._wait(held)
            shutil.rmtree(held.folder, ignore_errors=True)

    def _ended(self) -> list[int]:
        """The jobs that the queue no longer holds, after a look at it; all jobs are told that the command lives."""
        self._looked = time.monotonic()
        submitit.SlurmJob.watcher.update()
        for held in self._jobs.values():
            held.to_worker.append(STILL_HERE)
        return [slot for slot, held in self._jobs.items() if held.has_ended()]

    def _cancel(self, held: _Job) -> None:
        if not held.has_ended():
            held.job.cancel(check=False)
            self._wait(held)

    def _wait(self, held: _Job) -> None:
        """Until a job is gone, for SECONDS_TO_END at most."""
        deadline = time.monotonic() + SECONDS_TO_END
        while not held.has_ended() and time.monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            held.job.watcher.update()

    def _loss(self, held: _Job) -> Message:
        state, log = held.state(), held.job.paths.stderr
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        said = f": {lines[-1].strip()[:200]}" if lines else ""
        return "lost", f"Slurm job {held.job.job_id} ended ({state}{said}; log {log})", state == SHORT_OF_MEMORY


def machine_there(options: Options, progress: Progress) -> Machine:
    """The machine that cells run on, as a job of their kind finds it.

    Raises: UsageError where there is no Slurm, it refuses the job, or the job ends without a completion.
    """
    if missing := [name for name in ("sbatch", "srun", "sacct", "scancel") if shutil.which(name) is None]:
        raise UsageError(
            [f"engine=slurm: {', '.join(missing)} cannot be found here; run it where jobs are submitted (a login node)"]
        )
    place = Path(options.out)
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".slurm-", dir=place)).absolute()
    try:
        job = _submit(options, folder, _machine, options, {"num_cpus": _cpus(options), "num_gpus": _gpus(options)})
        progress.note(f"Slurm job {job.job_id} looks at the machine that cells will run on")
        try:
            found = job.result()
        except UncompletedJobError as error:
            raise UsageError([_cannot(error)]) from None
        except BaseException:
            job.cancel(check=False)
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # it holds something
            place.rmdir()
    if isinstance(found, list):
        raise UsageError(found)
    return found


def _cannot(error: Exception) -> str:
    last = (str(error).strip().splitlines() or [""])[-1]
    return (
        f"engine=slurm: a job cannot run cells ({last}); preference-harness and its libraries must be installed "
        "on a disk that the nodes share, and out= must lie on one"
    )


def _machine(options: Options, asked: dict[str, float]) -> Machine | list[str]:
    """The machine that this runs on, or what is wrong with it."""
    try:
        return machine_here(options, asked)
    except UsageError as error:
        return error.messages


def _cpus(options: Options) -> int:
    return options.slurm_cpus or options.threads or CPUS


def _gpus(options: Options) -> int:
    return int(options.device != "cpu") if options.slurm_gpus is None else options.slurm_gpus


def _submit(options: Options, folder: Path, function: Any, *arguments: Any) -> submitit.Job[Any]:
    """Submits a call. Raises: UsageError with Slurm's own reason where it is refused."""
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=0)
    asked = {
        "job_name": "preference-harness",
        "time": max(1, round(options.slurm_hours * 60)),
        "nodes": 1,
        "cpus_per_task": _cpus(options),
        "gpus_per_node": _gpus(options) or None,
        "partition": options.slurm_partition,
        "account": options.slurm_account,
        "mem": f"{round(options.slurm_memory * 1024)}M" if options.slurm_memory else None,
    }
    executor.update_parameters(
        additional_parameters={"no-requeue": True},  # a job that is lost is replaced here
        **{name: value for name, value in asked.items() if value is not None},
    )
    try:
        return executor.submit(function, *arguments)
    except (FailedSubmissionError, UncompletedJobError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            [
                f"engine=slurm: Slurm takes no such job ({reason}); see slurm.partition=, slurm.account=, "
                "slurm.hours=, slurm.cpus=, slurm.gpus= and slurm.memory="
            ]
        ) from None
