"""A sweep that is killed at any moment and started again ends with the rows of an undisturbed one.

`HARNESS_KILLS=20 pytest -m slow tests/slow/test_kills.py` kills more often than the 6 times of the default.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

import results
from results.cells import store
from tests.harness.conftest import comparable, pair_rows, write_jsonl

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("HARNESS_KILLS", "6"))
COMMANDS = KILLS // 2  # in each one a worker dies, then the command itself
BETAS = ",".join(f"{(i + 1) / 50:g}" for i in range(4 + 3 * COMMANDS))
# The nth call at which a process dies: before a block of the reference, a file of a cell, a rename or a flush. None: at
# any moment. kto comes last and measures a reference of its own.
MIDDLE = [
    "results.cells.store._write_whole:3",
    None,
    "os.replace:9",
    "results.cells.store._write_whole:5",
    "os.fsync:7",
]
INSIDE = [
    "harness.model.reference._write_block:2",
    *(MIDDLE[i % len(MIDDLE)] for i in range(COMMANDS - 2)),
    "harness.model.reference._write_block:1",
]


@pytest.fixture
def sweep(tmp_path):
    path = write_jsonl(tmp_path / "pairs.jsonl", pair_rows(160))

    def start(out: str, cache: str, **environment: str) -> subprocess.Popen:
        words = [
            f"suite={path}",
            "losses=dpo,ipo,simpo,orpo,kto",
            f"dpo.beta={BETAS}",
            "model=tiny",
            "precision=fp32",
            "train_pairs=96",
            "eval_pairs=12",
            "batch_size=8",
            "checkpoint_steps=3",
            "threads=1",
            f"out={tmp_path / out}",
        ]
        own = {"PREFERENCE_HARNESS_CACHE": str(tmp_path / cache), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "slow" / "killing.py"), "run", *words],
            cwd=ROOT,
            env=os.environ | own | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts its background jobs with SIGINT ignored, and a process inherits that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return start


def lines_until(process: subprocess.Popen, ends: Callable[[str], bool]) -> Iterator[str]:
    """What the process says up to a line that `ends`, or its own end."""
    for line in process.stderr:
        yield line
        if ends(line):
            return


def kill(process: subprocess.Popen | psutil.Process) -> int:
    """Kills it, if it still lives; how many were killed."""
    alive = process.poll() is None if isinstance(process, subprocess.Popen) else process.is_running()
    process.send_signal(signal.SIGKILL)
    process.wait()
    return int(alive)


def workers(process: subprocess.Popen) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def disturb(process: subprocess.Popen, mark: Path | None, chance: random.Random) -> tuple[int, list[str]]:
    """Has a worker die, by itself or from here, and then kills the command: how many died, and what was said."""
    killed, said = 0, []
    if mark is None:
        said += lines_until(process, lambda line: ": started" in line)
        time.sleep(chance.uniform(0, 0.4))
        killed += sum(map(kill, workers(process)))
    said += lines_until(process, lambda line: "trying it again" in line)
    killed += int(mark is not None and mark.exists())
    left = [chance.randint(0, 3)]

    def enough(line: str) -> bool:
        left[0] -= 1
        return left[0] <= 0

    said += lines_until(process, enough)
    time.sleep(chance.uniform(0, 0.5))
    return killed + kill(process), said + process.stderr.readlines()


def labels(said: list[str], what: str) -> list[str]:
    """The cells of which something is said, each time that it is."""
    return [line.split("] ")[1].split(f": {what}")[0] for line in said if line[0] == "[" and f": {what}" in line]


def test_killed_sweeps_end_with_the_same_rows_and_leave_nothing_behind(sweep, tmp_path):
    calm = sweep("calm", "cache-a")
    assert calm.communicate()[1] and calm.returncode == 0
    chance, killed, ended = random.Random(0), 0, Counter()
    rough = tmp_path / "rough"
    for number, place in enumerate(INSIDE):
        mark = tmp_path / f"mark{number}" if place else None
        finished = {row.parent.name for row in rough.rglob("row.json") if store.is_done(row.parent)}
        process = sweep("rough", "cache-b", **({"KILL_AT": place, "KILL_MARK": str(mark)} if place else {}))
        deaths, said = disturb(process, mark, chance)
        killed += deaths
        ended.update(labels(said, "done in"))
        assert finished <= {row.parent.name for row in rough.rglob("row.json") if store.is_done(row.parent)}
    last = sweep("rough", "cache-b")
    said = last.communicate()[1].splitlines()
    assert last.returncode == 0, said[-20:]
    ended.update(labels(said, "done in"))
    print(f"{killed} processes killed, {len(results.read(rough))} cells")
    assert killed >= KILLS - 1
    assert max(ended.values()) == 1, ended
    frames = [comparable(results.read(tmp_path / out)) for out in ("calm", "rough")]
    assert len(frames[0]) >= 10
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    for cell in rough.rglob("pairs.parquet"):
        same = next((tmp_path / "calm").rglob(cell.parent.name)) / cell.name
        assert cell.read_bytes() == same.read_bytes()
    names = [path.name for place in (rough, tmp_path / "cache-b") for path in place.rglob("*")]
    assert [n for n in names if n.startswith(".") or n in ("claim.json", "checkpoint")] == []


def test_ctrl_c_ends_with_130_and_a_table_of_what_is_finished(sweep, tmp_path):
    process = sweep("runs", "cache")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "runs").rglob("row.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    errors = process.communicate()[1]
    assert process.returncode == 130 and "finished cells are kept" in errors and "Traceback" not in errors
    assert len(results.read(tmp_path / "runs")) >= 1
    assert (tmp_path / "runs" / "pairs" / "report.html").is_file()
