"""The other processes of a launch: they do with rank 0 what a cell has in common, and say nothing.

What they say would be said several times, and what they decided could differ: so they read no options, look at no
results and write nothing. An order of rank 0 names the part; its content is what the part needs.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from datetime import timedelta
from functools import partial

import torch

from harness import launch
from harness.cells.cell import CellRunner, measured_together
from harness.compute import ranks
from harness.engines.worker import RemoteProgress, WorkerConfig, register_losses
from harness.training.loaded_model import LoadedModel


def follow(patience: timedelta = ranks.PATIENCE) -> int:
    """Carries out the orders of rank 0 until it has ended; the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 hears it, and ends the part in all processes
    runner: CellRunner | None = None
    try:
        ranks.join(patience)
        while (order := ranks.next_order()) is not None:
            name, *content = order
            try:
                if name == "load":
                    runner = ranks.run_own_part(partial(_load, *content))
                elif name == "rates":
                    ranks.run_own_part(runner.loaded.seconds_per_token)
                else:
                    ranks.run_own_part(partial(measured_together, runner, *content, []))
            except ranks.ProcessesLost:
                raise
            except (Exception, KeyboardInterrupt):  # raised in all processes, and rank 0's to tell
                continue
    except ranks.ProcessesLost as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        ranks.leave()
    return 0


def _load(config: WorkerConfig) -> CellRunner:
    """This process's model, on its own device."""
    machine = config.sweep.machine
    if machine.device.startswith("cuda"):
        machine = replace(machine, device=f"cuda:{launch.local_rank()}")
        torch.cuda.set_device(machine.device)
    torch.set_num_threads(machine.threads)
    register_losses(config)
    sweep = config.sweep
    return CellRunner(
        LoadedModel(sweep.identity, sweep.tokenizer, machine, RemoteProgress(lambda *_: None), workers=config.workers)
    )
