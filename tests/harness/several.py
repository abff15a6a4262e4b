"""Functions run by several processes that share a cell, as under torchrun; each process's result comes back."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch

from harness.compute import ranks


def several(task: Callable[..., Any], *arguments: Any, processes: int = 2, patience: float = 120.0) -> list[Any]:
    """What `task(*arguments)` returned in each process, or the error that it raised."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    pipes, started = [], []
    for rank in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_one, args=(rank, processes, port, patience, task, arguments, theirs), daemon=True
        )
        process.start()
        theirs.close()
        pipes.append(ours)
        started.append(process)
    found = []
    for pipe, process in zip(pipes, started, strict=True):
        try:
            found.append(pickle.loads(pipe.recv_bytes()))
        except EOFError:
            found.append(None)
        process.join()
    return found


def _one(rank: int, processes: int, port: int, patience: float, task: Any, arguments: Any, pipe: Any) -> None:
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    ranks.join(timedelta(seconds=patience))
    try:
        result = ranks.run_own_part(lambda: task(*arguments))
    except Exception as error:
        result = error
    finally:
        ranks.leave()
    pipe.send_bytes(pickle.dumps(result))  # as bytes: torch would send tensors by files that end with the process


def vanish() -> None:
    """The second process ends without a word."""
    if ranks.rank() == 1:
        os._exit(1)
    ranks.all_gather(lambda: None)


def hang(seconds: float) -> None:
    """The second process keeps the first one waiting."""
    if ranks.rank() == 1:
        time.sleep(seconds)
    ranks.all_gather(lambda: None)
