"""What a cluster has room for, from what its nodes say they have."""

from __future__ import annotations

import pytest

from harness.engines import cluster
from harness.errors import UsageError
from harness.options.lookup import read_options

GIB = 2**30
NODES = [{"CPU": 4.0, "memory": 8 * GIB}, {"CPU": 16.0, "GPU": 2.0, "memory": 64 * GIB}]


@pytest.fixture
def nodes(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr(cluster, "_nodes", lambda: NODES)


def asked(*argv: str) -> dict[str, float]:
    return cluster.request(read_options(["suite=imdb-sentiment", "losses=dpo", "engine=ray", *argv]).options)


@pytest.mark.parametrize(
    ("words", "wanted", "places"),
    [
        ([], {"num_cpus": 1, "num_gpus": 1}, 2),
        (["device=cpu"], {"num_cpus": 1, "num_gpus": 0}, 20),
        (["device=cpu", "threads=3"], {"num_cpus": 3, "num_gpus": 0}, 6),
        (["ray.gpus=0.5", "ray.cpus=2"], {"num_cpus": 2, "num_gpus": 0.5}, 4),
        (["device=cpu", "ray.memory=10"], {"num_cpus": 1, "num_gpus": 0, "memory": 10 * GIB}, 6),
    ],
)
def test_a_request_is_what_was_asked_and_the_nodes_hold_so_many(words, wanted, places, nodes):
    assert asked(*words) == wanted
    assert cluster.places(asked(*words)) == places


def test_a_request_that_no_node_can_meet_is_refused_with_what_there_is(nodes):
    cluster.require_room(asked("ray.cpus=16"))
    with pytest.raises(UsageError) as caught:
        cluster.require_room(asked("ray.cpus=5", "ray.gpus=1", "ray.memory=100"))
    said = str(caught.value)
    assert "5 CPUs, 1 GPUs and 100 GiB" in said and "1 with 4 CPUs, 0 GPUs and 8 GiB" in said and "lower" in said


def test_a_cluster_that_is_not_there_is_told_with_the_way_out():
    ray = pytest.importorskip("ray")
    if ray.is_initialized():
        pytest.skip("another test has joined a cluster")
    with pytest.raises(UsageError, match="ray start --head"):
        cluster.connect("127.0.0.1:1")
