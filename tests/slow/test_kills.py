"""A sweep that is killed at any moment and started again ends with the rows of an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import results
from tests.harness.conftest import comparable, pair_rows, write_jsonl

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
KILLS = 6


@pytest.fixture
def sweep(tmp_path):
    path = write_jsonl(tmp_path / "pairs.jsonl", pair_rows(160))

    def start(out: str, cache: str) -> subprocess.Popen:
        words = [
            f"suite={path}", "losses=dpo,ipo,kto,simpo,orpo", "model=tiny", "precision=fp32", "train_pairs=96",
            "eval_pairs=12", "batch_size=8", "epochs=2", "checkpoint_steps=3", "threads=1", f"out={tmp_path / out}",
        ]  # fmt: skip
        environment = os.environ | {"PREFERENCE_HARNESS_CACHE": str(tmp_path / cache), "HF_HUB_OFFLINE": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "harness", "run", *words], cwd=ROOT, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            # A shell starts its background jobs with SIGINT ignored, and a process inherits that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip

    return start


def test_killed_sweeps_end_with_the_same_rows_and_leave_nothing_behind(sweep, tmp_path):
    began = time.monotonic()
    assert sweep("calm", "cache-a").wait() == 0
    whole = time.monotonic() - began
    killed = 0
    for number in range(KILLS):
        process = sweep("rough", "cache-b")
        try:
            # Moments spread over the start, the reference pass, training and writing of a whole run.
            process.wait(timeout=whole * (0.3 + 0.6 * number / KILLS))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    last = sweep("rough", "cache-b")
    assert last.wait() == 0, last.stderr.read()[-2000:]
    assert killed >= 2
    calm, rough = (comparable(results.read(tmp_path / out)) for out in ("calm", "rough"))
    pd.testing.assert_frame_equal(calm, rough, check_exact=True)
    names = [path.name for path in (tmp_path / "rough").rglob("*")]
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
