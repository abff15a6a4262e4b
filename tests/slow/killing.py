"""Runs the harness and kills one of its processes at the nth call of a function: `KILL_AT=module.function:n`.

The file `KILL_MARK` is made by the process that dies, so that it happens once in a command. A worker process runs
this file again as its main module, and so counts calls of its own.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path


def dying(function, calls: int, mark: Path):
    """The function, but its nth call ends the process halfway into what it writes to."""
    left = [calls]

    def call(*args, **more):
        left[0] -= 1
        if left[0] == 0 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **more)

    return call


if place := os.environ.get("KILL_AT"):
    name, _, number = place.partition(":")
    module = importlib.import_module(name.rpartition(".")[0])
    attribute = name.rpartition(".")[2]
    setattr(module, attribute, dying(getattr(module, attribute), int(number), Path(os.environ["KILL_MARK"])))

if __name__ == "__main__":
    from harness.__main__ import main

    sys.exit(main())
