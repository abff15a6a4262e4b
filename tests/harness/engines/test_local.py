"""Worker processes: the same rows as in one process, and a sweep that survives a worker's death."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

import results
from harness.engines.pool import Pool, _Slot
from harness.engines.protocol import WorkerFault
from harness.experiment.grid import trials
from harness.options.cards import make
from tests.harness.conftest import SMALL, comparable

ROOT = Path(__file__).resolve().parents[3]

# A loss that works in the parent (which probes it) and does `{act}` in a worker.
PLUGIN = """
import os, pathlib, signal, time
from multiprocessing import parent_process
import losses
from torch.nn.functional import logsigmoid

@losses.register("mine", needs={{"reference"}})
def mine(pair: losses.PairBatch, *, beta: float = 0.1):
    if parent_process() is not None and pair.step == 2:
        {act}
    return -logsigmoid(beta * pair.margin)
"""


def plugin(tmp_path: Path, act: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.format(act=act))
    return f"plugins={path}"


def test_a_round_is_handed_out_when_the_round_before_has_ended():
    options = make({"suite": "x", "losses": ["dpo", "ipo"], "rounds": 2, "controls": False})
    todo = trials(options, base_lr=1e-5, entry_grid={}, kind="pairs")
    pool = Pool(None, todo, None, None, save=False)
    pool._slots = [_Slot(number) for number in range(3)]
    for slot in pool._slots:
        slot.trial = pool._next()
    dpo, ipo, none = (slot.trial for slot in pool._slots)
    assert (dpo.label, ipo.label, none) == (todo[0].label, todo[2].label, None)
    pool._slots[1].trial = None
    assert pool._next() == todo[3] and pool._next() is None
    pool._slots[0].trial = None
    assert pool._next() == todo[1] and not pool._waiting


@pytest.mark.slow
def test_workers_store_the_rows_that_one_process_stores_to_the_last_bit(command, tmp_path):
    words = ("losses=dpo,kto,dpo+0.2*sft", "threads=1")
    assert command(*words, "workers=0", out="a").code == 0
    told = command(*words, "workers=2", out="b")
    assert told.code == 0 and len(told.trained) == 5
    here, there = (results.read(tmp_path / out) for out in "ab")
    pd.testing.assert_frame_equal(comparable(here), comparable(there), check_exact=True)
    assert set(here["workers"]) == {1} and set(there["workers"]) == {2}


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "micro_tokens"), [(1, 1000), (2, 500)])
def test_a_killed_worker_is_replaced_and_the_second_time_gets_less_memory(kills, micro_tokens, command, tmp_path):
    mark = tmp_path / "killed"
    mark.mkdir()
    act = (
        f"p = pathlib.Path({str(mark)!r}); n = len(list(p.iterdir())); "
        f"n < {kills} and ((p / str(n)).touch(), os.kill(os.getpid(), signal.SIGKILL))"
    )
    told = command(plugin(tmp_path, act), "losses=mine,ipo", "controls=false", "workers=1", "micro_tokens=1000")
    assert told.code == 0
    assert len([line for line in told.lines if "was killed" in line and "trying it again" in line]) == kills
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert (runs["status"] == "done").all()
    assert set(runs["micro_tokens"]) == {micro_tokens}


@pytest.mark.slow
def test_a_cell_that_kills_every_worker_fails_with_the_cause_and_the_sweep_goes_on(command, tmp_path):
    told = command(
        plugin(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)"), "losses=mine,ipo", "controls=false", "workers=1"
    )
    assert told.code == 1
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert runs.loc["mine", "status"] == "failed" and "SIGSEGV" in runs.loc["mine", "reason"]
    assert runs.loc["ipo", "status"] == "done"


@pytest.mark.slow
def test_a_fault_of_the_program_ends_the_command_with_the_workers_traceback(command, tmp_path):
    with pytest.raises(WorkerFault, match="KeyError: 'no such thing'"):
        command(plugin(tmp_path, "{}['no such thing']"), "losses=mine", "controls=false", "workers=1")
    left = psutil.Process().children(recursive=True)
    assert [child for child in left if "spawn_main" in " ".join(child.cmdline())] == []


@pytest.mark.slow
def test_a_worker_ends_with_its_parent_and_the_cell_can_be_locked_again(command, pairs_file, tmp_path):
    out = f"out={tmp_path / 'runs'}"
    words = [plugin(tmp_path, "time.sleep(60)"), "losses=mine", "controls=false", "workers=1", out]
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", f"suite={pairs_file}", *SMALL[:-1], *words],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        holder = _until(lambda: next(iter(_claims(tmp_path / "runs")), None))
        assert holder != process.pid and psutil.Process(holder).ppid() == process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    _until(lambda: not psutil.pid_exists(holder) or psutil.Process(holder).status() == psutil.STATUS_ZOMBIE)


def _claims(folder: Path) -> list[int]:
    return [json.loads(path.read_text())["pid"] for path in folder.rglob("claim.json")]


def _until(found, seconds: float = 60.0):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
    return value
