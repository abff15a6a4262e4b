"""A Ray cluster before cells run on it: connecting, what it has, and what a cell's machine is there."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness.errors import UsageError
from harness.options.run import Options

SECONDS_OF_PATIENCE = 15.0  # before a cluster that is busy is said to be
_GIB = 2**30


def connect(address: str) -> None:
    """Joins a cluster, or starts one on this machine; does nothing where that was done.

    Raises: UsageError where there is none.
    """
    import ray

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    host, colon, port = (os.environ.get("RAY_ADDRESS", "") if address == "auto" else address).rpartition(":")
    try:
        if colon:  # Ray itself would try for minutes where nobody listens
            socket.create_connection((host, int(port)), timeout=SECONDS_OF_PATIENCE).close()
        ray.init(address=address, **quiet, **({"include_dashboard": False} if address == "local" else {}))
    except Exception as error:  # Ray raises bare ones too, where a node does not come up in time
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            [
                f"ray.address={address}: no Ray cluster can be joined from here ({reason}); start one with "
                "`ray start --head` (this machine must belong to it), or use ray.address=local"
            ]
        ) from None


def request(options: Options) -> dict[str, float]:
    """What Ray sets aside for one cell: CPUs, GPUs, bytes of memory. The cluster is known."""
    cpus = options.ray_cpus or options.threads or 1
    gpus = options.ray_gpus
    if gpus is None:
        has_gpus = any(node.get("GPU", 0) >= 1 for node in _nodes())
        gpus = 1.0 if has_gpus and not options.device.startswith(("cpu", "mps")) else 0.0
    asked = {"num_cpus": float(cpus), "num_gpus": float(gpus)}
    return asked | ({"memory": options.ray_memory * _GIB} if options.ray_memory else {})


def places(asked: Mapping[str, float]) -> int:
    """How many cells the living nodes hold at a time, if nothing else runs on them."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    wanted = {names[key]: amount for key, amount in asked.items() if amount}
    return sum(int(min(node.get(name, 0) / amount for name, amount in wanted.items())) for node in _nodes())


def require_room(asked: Mapping[str, float]) -> None:
    """Raises: UsageError where no node could ever hold a cell: Ray itself would wait for ever."""
    if places(asked):
        return
    memory = f" and {asked['memory'] / _GIB:g} GiB" if "memory" in asked else ""
    raise UsageError(
        [
            f"a cell asks for {asked['num_cpus']:g} CPUs, {asked['num_gpus']:g} GPUs{memory}, and no node of the "
            f"cluster has that much (there are {_described()}); lower ray.cpus=, ray.gpus= or ray.memory=, "
            "or add a node"
        ]
    )


def _nodes() -> list[Mapping[str, float]]:
    """The resources of each node that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _described() -> str:
    kinds = Counter(
        f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs and {node.get('memory', 0) / _GIB:.0f} GiB"
        for node in _nodes()
    )
    return "; ".join(f"{count} with {what}" for what, count in kinds.items()) or "no nodes"
