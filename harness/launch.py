"""Whether this command was started as several processes, by `accelerate launch` or `torchrun`: no torch, no cost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.options import Options


def processes() -> int:
    """How many processes the command was started as; 1 where it was started alone."""
    return _number("WORLD_SIZE", 1) if "RANK" in os.environ else 1


def rank() -> int:
    """The number of this process, from 0; the first one is the command, the others follow it."""
    return _number("RANK", 0) if processes() > 1 else 0


def local_rank() -> int:
    """The number of this process on its machine, from 0."""
    return _number("LOCAL_RANK", rank()) if processes() > 1 else 0


def local_processes() -> int:
    """How many of the processes are on this machine."""
    return _number("LOCAL_WORLD_SIZE", processes()) if processes() > 1 else 1


def problems(options: Options) -> list[str]:
    """What in the options does not go with several processes at one cell, a sentence each."""
    count = processes()
    if count == 1:
        alone = "shard=true splits weights over the processes of a launch, but this command was started as one"
        return [f"{alone}; start it with torchrun or accelerate launch, or leave shard= out"] if options.shard else []
    import torch

    from harness.sharding import ALONE

    found = []
    if options.workers:
        found.append(
            f"workers={options.workers} starts processes of its own, but this command was launched as {count} "
            "processes that share each cell; leave workers= out"
        )
    if options.device == "mps" or options.device.startswith("cuda:"):
        found.append(
            f"device={options.device} names one device, but this command was launched as {count} processes, each on "
            "its own; allowed: auto, cuda, cpu"
        )
    gpus = torch.cuda.device_count()
    if options.device in ("auto", "cuda") and 0 < gpus < local_processes():
        found.append(
            f"{local_processes()} processes were launched on this machine, which has {gpus} GPU{'s' * (gpus > 1)}; "
            f"launch {gpus} at most, or add device=cpu"
        )
    for switch, what in (("ACCELERATE_USE_FSDP", "--use_fsdp"), ("ACCELERATE_USE_DEEPSPEED", "--use_deepspeed")):
        if os.environ.get(switch, "").lower() in ("1", "true"):
            found.append(
                f"accelerate launch {what}: how weights are split is said by shard=true here (FSDP); leave {what} out"
            )
    words = [word for word, given in ALONE.items() if given(options)]
    if options.shard and words:
        found.append(
            f"shard=true: {', '.join(words)} needs the whole model in one process; leave it out, or shard= where the "
            "model fits on one device"
        )
    return found


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else otherwise
