"""A Ray cluster of several nodes on this machine, each with a cache of its own: one is taken away in the middle."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import results
from harness.engines.file_chunks import Chunk
from harness.errors import SweepStopped, UsageError
from results.cells import store
from tests.harness.conftest import comparable

ray = pytest.importorskip("ray")

# A loss that, the first time on an actor, says on which node it is and gives that node time to die.
PLUGIN = """
import pathlib, sys, time
import losses
from torch.nn.functional import logsigmoid

@losses.register("mine", needs={{"reference"}})
def mine(pair: losses.PairBatch, *, beta: float = 0.1):
    mark, ray = pathlib.Path({mark!r}), sys.modules.get("ray")
    if pair.step == 2 and ray and ray.get_runtime_context().worker.mode == ray.WORKER_MODE and not mark.exists():
        mark.write_text(ray.get_runtime_context().get_node_id())
        time.sleep(60)
    return -logsigmoid(beta * pair.margin)
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for number in range(2):
        made.add_node(num_cpus=1, env_vars={"PREFERENCE_HARNESS_CACHE": str(tmp_path / f"cache{number}")})
    yield made
    ray.shutdown()
    made.shutdown()


def remove_marked(cluster, mark: Path) -> None:
    """Takes away the node that the mark names, once there is one."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        name = mark.read_text() if mark.exists() else ""
        for node in cluster.list_all_nodes():
            if name and node.node_id == name:
                cluster.remove_node(node, allow_graceful=False)
                return
        time.sleep(0.1)


@pytest.mark.slow
def test_a_node_that_goes_away_costs_no_cell_and_the_rows_are_those_of_this_machine(cluster, command, tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "mine.py").write_text(PLUGIN.format(mark=str(mark)))
    words = (f"plugins={tmp_path / 'mine.py'}", "losses=mine,kto,dpo+0.2*sft", "mine.beta=0.1,0.2", "threads=1")
    on_ray = ("engine=ray", f"ray.address={cluster.address}", "workers=2")
    with pytest.raises(UsageError, match="no node of the cluster has that much"):
        command(*words, *on_ray, "ray.cpus=64", out="there")
    assert not (tmp_path / "there").exists()
    killer = threading.Thread(target=remove_marked, args=(cluster, mark))
    killer.start()
    told = command(*words, *on_ray, "save=best", out="there")
    killer.join()
    assert told.code == 0, told.lines
    assert any("was lost" in line and "trying it again" in line for line in told.lines)
    assert command(*words, out="here").code == 0
    here, there = (results.read(tmp_path / out) for out in ("here", "there"))
    pd.testing.assert_frame_equal(comparable(here), comparable(there), check_exact=True)
    assert set(there["engine"]) == {"ray"} and set(there["status"]) == {"done"} and len(there) == 6
    for cell in (tmp_path / "here").rglob("pairs.parquet"):
        assert next((tmp_path / "there").rglob(cell.parent.name)).joinpath(cell.name).read_bytes() == cell.read_bytes()
    assert len(list((tmp_path / "there").rglob("model/*.safetensors"))) == 1
    assert not [p for p in (tmp_path / "there").rglob("*") if p.name.startswith(".") or p.name == "claim.json"]
    blocks = [{p.name for p in (tmp_path / f"cache{n}" / "reference").rglob("*.safetensors")} for n in range(2)]
    assert blocks[0] & blocks[1]  # measured on one node, sent to the other
    again = command(*words, *on_ray, out="there")
    assert again.code == 0 and again.trained == []


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """The engine without a cluster, with a cell of the folder tmp_path/cell in slot 0."""
    from harness.engines import ray as engines

    monkeypatch.setattr(engines.ray, "get", lambda said: said)
    made = engines.Actors.__new__(engines.Actors)
    made._messages, made._tokens, made._saying = deque(), {0: 512}, {}
    made._tasks = {0: engines._Cell(tmp_path / "cell")}
    made._sweep = SimpleNamespace(folder=lambda trial: tmp_path / "cell")
    return made


def test_a_disk_that_fills_up_under_what_an_actor_sends_stops_the_sweep_with_one_sentence(engine, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "runs/x")

    monkeypatch.setattr("harness.engines.ray.put", full)
    with pytest.raises(SweepStopped, match="runs/x: no space left on device; .*same command again"):
        engine._hear(0, iter([("file", Chunk("row.json", 0, b"{}"))]))


def test_a_cell_is_stored_whole_when_it_has_ended_and_only_then_said_to_be_done(engine, tmp_path):
    said = iter(
        [
            ("cell_finished", "dpo", "done"),
            ("file", Chunk("log.txt", 0, b"log")),
            ("file", Chunk("row.json", 0, b"{}")),
            ("ended", None, False),
        ]
    )
    engine._tasks[0].lock()
    for _ in range(3):
        engine._hear(0, said)
    assert not engine._messages and not (tmp_path / "cell" / "row.json").exists()
    engine._hear(0, said)
    assert [message[0] for _, message in engine._messages] == ["cell_finished", "ended"]
    assert sorted(path.name for path in (tmp_path / "cell").iterdir()) == ["log.txt", "row.json"]


def test_a_cell_that_another_command_has_is_left_to_it(engine, tmp_path):
    with store.claim(tmp_path / "cell"):
        engine.give(0, SimpleNamespace(label="dpo"), save=False)
    assert [message[0] for _, message in engine._messages] == ["note", "ended"]
    assert "left alone for now" in engine._messages[0][1][1]


def test_a_node_that_vanishes_is_a_lost_worker(engine):
    def gone():
        raise ray.exceptions.ActorDiedError()
        yield

    stream = gone()
    engine._saying[stream] = 0
    engine._hear(0, stream)
    assert engine._messages[0][1][0] == "lost" and "lost" in engine._messages[0][1][1] and engine._saying == {}
