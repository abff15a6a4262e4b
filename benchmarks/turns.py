"""Measurements in turns: each in a process of its own, one after another, A B C A B C; then ratios of like with like.

A process of its own has its own peak of memory and no warm allocator of another; turns let a slow minute of
a shared machine fall on every side. Ratios are made step by step within a turn (the steps hold the same pairs)
and their median is reported: an average would be the slow minute's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
Found = dict[str, Any]
Say = Callable[[str], None]


class Child(NamedTuple):
    """What an ended process said and used, the processes it waited for included."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int

    @property
    def failure(self) -> str:
        """Why it failed, in a line."""
        last = (self.stderr.strip().splitlines() or ["no message"])[-1]
        killed = "; killed, which is how a machine without memory left says so" if self.code == -9 else ""
        return f"exit code {self.code}{killed}: {last}"


def child(command: Sequence[str], **environment: str) -> Child:
    """Runs one process to its end. Paths are relative to the caller's folder, imports to this checkout."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    began = time.perf_counter()
    # Files, not pipes: a full pipe would stop the process that is measured.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=os.environ | {"PYTHONPATH": path} | environment)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            raise
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = [(file.seek(0), file.read())[1] for file in (out, err)]
    unit = 1 if sys.platform == "darwin" else 1024
    return Child(process.returncode, *texts, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


def measured(spec: Mapping[str, Any]) -> Found:
    """One measurement by benchmarks/worker.py: its JSON line, or {"error": why} where it failed."""
    ended = child([sys.executable, "-m", "benchmarks.worker", json.dumps(spec)])
    if ended.code:
        return {"error": ended.failure, "stderr": ended.stderr[-4000:]}
    found = json.loads(ended.stdout.strip().splitlines()[-1])
    return found | {"process_seconds": ended.seconds, "process_cpu_seconds": ended.cpu_seconds}


def in_turns(sides: Mapping[str, Callable[[], Found]], turns: int, say: Say) -> list[dict[str, Found]]:
    """Every side once in each turn: name -> what was found."""
    result: list[dict[str, Found]] = []
    for turn in range(turns):
        found: dict[str, Found] = {}
        for name, measure in sides.items():
            began = time.perf_counter()
            found[name] = measure()
            state = found[name].get("error", "done")
            say(f"turn {turn + 1}/{turns}, {name}: {state} ({time.perf_counter() - began:.0f} s)")
        result.append(found)
    return result


class Ratio(NamedTuple):
    """How many times `slow` needs what `fast` needs: median and extremes over `count` pairs of measurements."""

    median: float
    low: float
    high: float
    count: int


def timed(found: Found, key: str) -> list[float]:
    """One number for each timed step; the first step is warm-up."""
    return [step[key] / step["pairs"] for step in found.get("steps", [])[1:]]


def ratio(turns: Iterable[dict[str, Found]], slow: str, fast: str, key: str) -> Ratio | None:
    """Step by step within each turn; None where a side has failed in every turn."""
    quotients = [
        theirs / ours
        for turn in turns
        for theirs, ours in zip(timed(turn[slow], key), timed(turn[fast], key), strict=False)
    ]
    return Ratio(statistics.median(quotients), min(quotients), max(quotients), len(quotients)) if quotients else None


def typical(turns: Iterable[dict[str, Found]], name: str, key: str) -> float | None:
    """The median over all timed steps of all turns, a pair."""
    values = [value for turn in turns for value in timed(turn[name], key)]
    return statistics.median(values) if values else None


def largest(turns: Iterable[dict[str, Found]], name: str, key: str = "peak_memory_bytes") -> float | None:
    """The largest value over the turns."""
    return max((turn[name][key] for turn in turns if key in turn[name]), default=None)
