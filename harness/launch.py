"""Whether this command was started as several processes, by `accelerate launch` or `torchrun`: no torch, no cost."""

from __future__ import annotations

import os


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


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else otherwise
