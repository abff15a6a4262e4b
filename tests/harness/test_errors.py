"""Machines that fail: full and read-only disks, memory, a clock that jumps; finished cells survive, restarts work."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors import SafetensorError

import harness.cells.cell
import results
from harness.__main__ import main
from harness.errors import memory_failure, storage_failure
from results.cells import store
from tests.harness.conftest import SMALL, comparable, pair_rows, write_jsonl

ROOT = Path(__file__).resolve().parents[2]
FEW = ("losses=dpo,ipo", "controls=false")


def temporaries(*places: Path) -> list[Path]:
    return [path for place in places for path in place.rglob(".*")]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), ["runs/x", "no space left", "same command again"]),
        (OSError(errno.EROFS, "Read-only file system", "runs"), ["runs", "read-only file system"]),
        (SafetensorError("I/O error: No space left on device (os error 28)"), ["no space left"]),
    ],
)
def test_a_disk_that_cannot_be_written_is_told_with_place_and_way_out(error, words):
    assert all(word in storage_failure(error) for word in words)
    assert memory_failure(error) is None


def test_other_errors_are_no_fault_of_the_machine():
    for error in (ValueError("x"), OSError(errno.ENOENT, "gone"), SafetensorError("HeaderTooLarge")):
        assert storage_failure(error) is None and memory_failure(error) is None


def test_memory_and_devices_are_told_with_what_needs_less():
    cpu = RuntimeError("can't allocate memory: 9")
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), cpu):
        assert "out of memory" in memory_failure(error) and "micro_batch=" in memory_failure(error)
    assert memory_failure(RuntimeError("CUDA error: an illegal access\nmore")).endswith("an illegal access")


@pytest.mark.parametrize("call", ["write", "replace"])
def test_a_disk_that_fills_up_stops_the_sweep_and_the_same_command_goes_on(call, command, tmp_path, monkeypatch):
    """ENOSPC below the store from the second cell on: at the write of a file, or at its rename."""
    real_open, real_replace = store.open_new, os.replace
    full = []

    def failing(path, *more):
        if "ipo-" in str(path):
            full.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return (real_open if call == "write" else real_replace)(path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(*((store, "open_new") if call == "write" else (os, "replace")), failing)
        told = command(*FEW)
    assert told.code == 1 and full
    assert any("no space left" in line and "finished cells are kept" in line for line in told.lines)
    runs = tmp_path / "runs"
    assert list(results.read(runs)["loss"]) == ["dpo"] and temporaries(runs) == []
    assert command(*FEW).trained == ["ipo"]
    assert set(results.read(runs)["status"]) == {"done"} and temporaries(runs) == []


def test_a_full_cache_says_which_folder_and_the_command_goes_on(command, tmp_path, monkeypatch):
    import harness.model.reference

    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
        patch.setattr(harness.model.reference, "save_file", full)
        told = command(*FEW)
        assert told.code == 1 and any("PREFERENCE_HARNESS_CACHE" in line for line in told.lines)
        assert [p for p in temporaries(tmp_path / "cache") if "safetensors" in p.name] == []


@pytest.mark.slow
def test_memory_that_runs_out_for_good_fails_the_cell_alone(command, tmp_path, monkeypatch):
    real = harness.cells.cell.train

    def short_of_memory(scorer, job, *others):
        if job.loss.name == "dpo":
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 10 bytes")
        return real(scorer, job, *others)

    monkeypatch.setattr(harness.cells.cell, "train", short_of_memory)
    assert command(*FEW).code == 1
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert runs.loc["ipo", "status"] == "done"
    assert runs.loc["dpo", "status"] == "failed" and "less" in runs.loc["dpo", "reason"]
    monkeypatch.setattr(harness.cells.cell, "train", real)
    kept = command(*FEW)
    assert kept.code == 1 and kept.trained == [] and any("retry=failed runs it again" in line for line in kept.lines)
    again = command(*FEW, "retry=failed")
    assert again.code == 0 and again.trained == ["dpo"]


@pytest.mark.slow
def test_memory_that_really_runs_out_in_a_worker_fails_its_cell_and_the_sweep_goes_on(command, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import losses, torch\nfrom multiprocessing import parent_process\n@losses.register('mine')\n"
        "def mine(pair: losses.PairBatch, *, beta: float = 0.1):\n"
        "    if parent_process() is not None and pair.step == 2:\n        torch.empty(10**15)\n"
        "    return -beta * pair.chosen.total\n"
    )
    told = command(f"plugins={plugin}", "losses=mine,ipo", "controls=false", "workers=1")
    assert told.code == 1 and any("trying it again" in line for line in told.lines)
    runs = results.read(tmp_path / "runs").set_index("loss")
    assert runs.loc["ipo", "status"] == "done" and runs.loc["mine", "status"] == "failed"
    assert "out of memory" in runs.loc["mine", "reason"] and "micro_batch=" in runs.loc["mine", "reason"]
    assert temporaries(tmp_path / "runs") == []


@pytest.mark.slow
def test_a_clock_that_jumps_back_changes_no_number_and_loses_no_cell(command, tmp_path, monkeypatch):
    from datetime import datetime, timedelta

    import results.cells.lock

    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=400)

    command("losses=dpo", "controls=false")
    now, real_time = time.time, time.time
    monkeypatch.setattr(harness.cells.cell, "datetime", Earlier)
    monkeypatch.setattr(results.cells.lock, "datetime", Earlier)
    monkeypatch.setattr(time, "time", lambda: now() - 400 * 86400)
    assert command(*FEW).trained == ["ipo"]
    command(*FEW, out="calm")
    monkeypatch.setattr(time, "time", real_time)
    first, second = (comparable(results.read(tmp_path / out)) for out in ("runs", "calm"))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert (results.read(tmp_path / "runs")["seconds"] > 0).all()
    assert main(["verify", str(tmp_path / "runs")]) == 0


def mounted(tmp_path: Path, options: str):
    """A small file system of its own at tmp_path/disk, or a skip where mounting is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")
    return place


@pytest.mark.slow
def test_a_really_full_disk_and_a_worker_of_its_own(tmp_path, pairs_file):
    place = mounted(tmp_path, "size=1m")
    words = ["run", f"suite={pairs_file}", *FEW, *SMALL[:-1], f"out={place / 'runs'}", "workers=1"]
    try:
        ballast = place / "ballast"
        ballast.write_bytes(b"x" * (2**20 - 16384))
        done = subprocess.run([sys.executable, "-m", "harness", *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 1 and "no space left on device" in done.stderr
        assert "Traceback" not in done.stderr and "finished cells are kept" in done.stderr
        assert temporaries(place) == []
        ballast.unlink()
        done = subprocess.run([sys.executable, "-m", "harness", *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        assert main(["verify", str(place / "runs")]) == 0
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_read_only_folder_is_refused_before_anything_is_trained(tmp_path, pairs_file, capsys):
    place = mounted(tmp_path, "size=1m,ro")
    try:
        assert main(["run", f"suite={pairs_file}", *FEW, *SMALL, f"out={place / 'runs'}"]) == 2
    finally:
        subprocess.run(["umount", str(place)], check=True)
    said = capsys.readouterr().err
    assert "nothing can be written" in said and "read-only file system" in said and "Traceback" not in said


@pytest.mark.slow
def test_two_commands_on_one_folder_share_the_cells_and_neither_trains_one_twice(tmp_path):
    data = write_jsonl(tmp_path / "pairs.jsonl", pair_rows(120))
    words = [f"suite={data}", "losses=dpo,ipo,kto,simpo,orpo", *SMALL[:-1], "workers=1", "threads=1"]
    environment = os.environ | {"PREFERENCE_HARNESS_CACHE": str(tmp_path / "cache")}

    def start(out: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "harness", "run", *words, f"out={tmp_path / out}"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    racers = [start("shared"), start("shared")]
    said = [racer.communicate(timeout=600) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], said
    started = [line.split("] ")[1].split(":")[0] for _, err in said for line in err.splitlines() if ": started" in line]
    assert len(started) == len(set(started)) == 7
    calm = start("calm")
    assert calm.communicate(timeout=600) and calm.returncode == 0
    tables = [comparable(results.read(tmp_path / out)) for out in ("shared", "calm")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert temporaries(tmp_path / "shared") == [] and not list((tmp_path / "shared").rglob("claim.json"))
    assert main(["verify", str(tmp_path / "shared")]) == 0
