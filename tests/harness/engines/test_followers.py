"""One command as two processes under torchrun: the rows, the files and the words of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import results
from tests.harness.conftest import SMALL, comparable, pair_rows, write_jsonl

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "harness"]
WORDS = [word for word in SMALL if not word.startswith("workers=")]

# A loss that does `{act}` in the second process, in the third step.
PLUGIN = """
import os, losses
from torch.nn.functional import logsigmoid

@losses.register("mine", needs={{"reference"}})
def mine(pair: losses.PairBatch, *, beta: float = 0.1):
    margin = pair.margin
    if os.environ.get("RANK") == "1" and pair.step == 2:
        {act}
    return -logsigmoid(beta * margin)
"""


def launched(*argv: str, **environment: str) -> subprocess.Popen[str]:
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [*LAUNCH, *argv],
        env=os.environ | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def plugin(tmp_path: Path, act: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.format(act=act))
    return f"plugins={path}"


def assert_equal_rows(here, there, *, atol: float = 1e-5) -> None:
    """Text alike, numbers to 1e-5."""
    here, there = comparable(here), comparable(there)
    assert list(here.columns) == list(there.columns)
    for name in here.columns:
        if here[name].dtype.kind == "f":
            np.testing.assert_allclose(there[name], here[name], rtol=1e-5, atol=atol, err_msg=name)
        else:
            assert here[name].equals(there[name]), name


@pytest.mark.slow
def test_two_processes_store_the_rows_of_one_and_say_each_thing_once(command, pairs_file, tmp_path):
    words = ["losses=dpo,kto,bco,dpo+0.2*sft", "evals=2", "generate=4", "rerank=2", "start=sft", "threads=1"]
    assert command(*words, out="one").code == 0
    out = tmp_path / "two"
    cold = {"PREFERENCE_HARNESS_CACHE": str(tmp_path / "cache")}
    process = launched("run", f"suite={pairs_file}", *WORDS, *words, f"out={out}", **cold)
    said, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert said.count("report:") == 1 and told.count("[2/6]") == 2  # started, done
    here, there = results.read(tmp_path / "one"), results.read(out)
    assert_equal_rows(here, there)
    assert set(here["processes"]) == {1} and set(there["processes"]) == {2}
    assert not [path for path in out.rglob(".*")]
    assert command(*words, out="two").trained == []  # the cells have the names that one process gives them


@pytest.mark.slow
def test_split_weights_store_the_rows_of_one_process(command, pairs_file, tmp_path):
    words = ["losses=dpo,kto,bco", "evals=2", "threads=1"]
    assert command(*words, out="one").code == 0
    split = ["shard=true", f"out={tmp_path / 'two'}", f"suite={pairs_file}"]
    process = launched("run", *split, *WORDS, *words, PREFERENCE_HARNESS_CACHE=str(tmp_path / "cache"))
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    here, there = results.read(tmp_path / "one"), results.read(tmp_path / "two")
    # Log-probs of a row are sums of some -100 nats. Split weights move them by 1e-6 in two steps, by 2e-5 in four:
    # gradients are summed in another order, and AdamW takes equal steps for small ones.
    assert_equal_rows(here, there, atol=1e-4)
    assert there["shard"].all() and not here["shard"].any()


@pytest.mark.slow
def test_a_nan_in_one_process_fails_the_cell_and_the_sweep_goes_on(pairs_file, tmp_path):
    out, broken = tmp_path / "runs", plugin(tmp_path, "margin = margin * float('nan')")
    process = launched("run", f"suite={pairs_file}", *WORDS, "losses=mine,ipo", "controls=false", broken, f"out={out}")
    _, told = process.communicate(timeout=300)
    assert process.returncode == 1
    assert told.count("FAILED: mine: loss nan, or its gradient, is not finite at step 2") == 1
    runs = results.read(out).set_index("loss")
    assert runs.loc["mine", "status"] == "failed" and runs.loc["ipo", "status"] == "done"


@pytest.mark.slow
def test_ctrl_c_ends_both_processes_and_the_same_command_goes_on(tmp_path):
    pairs, out = write_jsonl(tmp_path / "pairs.jsonl", pair_rows(200)), tmp_path / "runs"
    slow = plugin(tmp_path, "import time; time.sleep(3)")
    words = ["run", f"suite={pairs}", *WORDS, "losses=ipo,mine", "controls=false", slow, f"out={out}"]
    process = launched(*words)
    while "mine" not in (line := process.stderr.readline()) or "started" not in line:
        assert process.poll() is None, "ended early"
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert told.count("interrupted: finished cells are kept") == 1
    assert process.returncode != 0
    runs = results.read(out).set_index("loss")
    assert list(runs.index) == ["ipo"] and runs.loc["ipo", "status"] == "done"
    again = launched(*words)
    _, told = again.communicate(timeout=300)
    assert again.returncode == 0 and "finished earlier" in told
    assert (results.read(out)["status"] == "done").all()
    assert not [path for path in out.rglob(".*")]


@pytest.mark.slow
def test_what_cannot_be_run_is_said_once_and_ends_both(pairs_file, tmp_path):
    process = launched("run", f"suite={pairs_file}", *WORDS, "losses=dpo", "workers=2", f"out={tmp_path / 'runs'}")
    said, told = process.communicate(timeout=120)
    assert process.returncode != 0 and said == ""
    assert told.count("error: workers=2 starts processes of its own, but this command was launched as 2") == 1
    assert not (tmp_path / "runs").exists()
