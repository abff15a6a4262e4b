"""Cells in jobs of a look-alike of Slurm on this machine (slurm_here.py); submitit and the jobs are real."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

import results
from harness.engines.run import machine_of
from harness.errors import UsageError
from harness.options.lookup import read_options
from harness.progress import silent
from results.cells import store
from tests.harness.conftest import comparable
from tests.harness.engines import slurm_here

submitit = pytest.importorskip("submitit")

# A loss that, the first time in a job, says in which and gives its machine time to go.
PLUGIN = """
import os, pathlib, time
import losses
from torch.nn.functional import logsigmoid

@losses.register("mine", needs={{"reference"}})
def mine(pair: losses.PairBatch, *, beta: float = 0.1):
    mark = pathlib.Path({mark!r})
    if pair.step == 2 and "SLURM_JOB_ID" in os.environ and not mark.exists():
        mark.write_text(os.environ["SLURM_JOB_ID"])
        time.sleep(120)
    return -logsigmoid(beta * pair.margin)
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The commands of Slurm on PATH, and looks at its queue twice a second."""
    from harness.engines import slurm

    folder = slurm_here.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    monkeypatch.setattr(slurm, "SECONDS_BETWEEN_STATES", 0.5)
    monkeypatch.setattr(slurm, "SECONDS_BETWEEN_LOOKS", 0.1)
    yield folder
    for number, job in slurm_here.jobs(folder).items():
        if job["state"] in ("PENDING", "RUNNING"):
            slurm_here.scancel(folder, str(number))


def lose_marked(cluster: Path, mark: Path) -> None:
    """Takes away the machine of the job that the mark names, once there is one."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if mark.exists() and (number := mark.read_text()):
            slurm_here.lose(cluster, int(number))
            return
        time.sleep(0.1)


def settled(cluster: Path) -> dict[int, dict]:
    """The jobs, once none runs: one that has left its result behind still takes a moment to go."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any(job["state"] == "RUNNING" for job in slurm_here.jobs(cluster).values()):
        time.sleep(0.1)
    return slurm_here.jobs(cluster)


@pytest.mark.slow
def test_a_job_that_is_lost_costs_no_cell_and_the_rows_are_those_of_this_machine(cluster, command, tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "mine.py").write_text(PLUGIN.format(mark=str(mark)))
    words = (f"plugins={tmp_path / 'mine.py'}", "losses=mine,kto,dpo+0.2*sft", "mine.beta=0.1,0.2", "threads=1")
    on_slurm = ("engine=slurm", "workers=2", "slurm.hours=1", "slurm.memory=2.5")
    loser = threading.Thread(target=lose_marked, args=(cluster, mark))
    loser.start()
    told = command(*words, *on_slurm, "save=best", out="there")
    loser.join()
    assert told.code == 0, told.lines
    assert any("NODE_FAIL" in line and "trying it again" in line for line in told.lines), told.lines
    assert command(*words, out="here").code == 0
    here, there = (results.read(tmp_path / out) for out in ("here", "there"))
    pd.testing.assert_frame_equal(comparable(here), comparable(there), check_exact=True)
    assert set(there["engine"]) == {"slurm"} and set(there["status"]) == {"done"} and len(there) == 6
    assert len(list((tmp_path / "there").rglob("model/*.safetensors"))) == 1
    assert not list((tmp_path / "there").rglob("claim.json"))
    known = settled(cluster)
    assert "--mem=2560M" in known[2]["text"] and "--no-requeue" in known[2]["text"] and "gpus" not in known[2]["text"]
    assert {job["state"] for job in known.values()} <= {"COMPLETED", "NODE_FAIL", "CANCELLED by 0"}
    assert len(known) <= 1 + 2 + 1  # the look at the machine, two workers, one in place of the lost one
    submitted = len(known)
    again = command(*words, *on_slurm, out="there")
    assert again.code == 0 and again.trained == [] and len(slurm_here.jobs(cluster)) == submitted + 1


def test_what_slurm_refuses_is_told_in_its_words_and_nothing_is_written(cluster, command, tmp_path):
    with pytest.raises(UsageError, match="invalid partition specified: full.*slurm.partition="):
        command("losses=dpo", "engine=slurm", "workers=1", "slurm.partition=full", out="there")
    assert not (tmp_path / "there").exists()


def test_without_slurm_here_the_missing_commands_are_named_and_a_plan_needs_none(monkeypatch, command, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="sbatch, srun, sacct, scancel cannot be found"):
        command("losses=dpo", "workers=2", "engine=slurm")
    options, _ = read_options(["suite=imdb-sentiment", "losses=dpo", "device=cpu", "engine=slurm"])
    assert machine_of(options, silent(), planned=True).device == "cpu"


def test_a_claim_is_given_up_for_the_process_that_is_known_to_be_gone_alone(tmp_path):
    with store.claim(tmp_path / "cell"):
        who = store.holder(tmp_path / "cell")
        store.release(tmp_path / "cell", "elsewhere", who.pid)
        assert store.holder(tmp_path / "cell") == who
        store.release(tmp_path / "cell", who.host, who.pid)
        assert store.holder(tmp_path / "cell") is None
