"""A Ray cluster of several nodes on this machine, each with a cache of its own: one is taken away in the middle."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pandas as pd
import pytest

import results
from harness.options import UsageError
from tests.harness.conftest import comparable

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

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
