"""Cells of a sweep on the engine that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from harness.engines import local
from harness.engines.pool import AfterCell, Pool
from harness.grid import Trial
from harness.progress import Progress
from harness.sweep import Sweep


def run_cells(sweep: Sweep, todo: Sequence[Trial], progress: Progress, after: AfterCell, *, save: bool) -> None:
    """Runs the cells of `todo`; `after` is called when one has ended.

    Raises: SweepStopped where nothing can be written any more, or no machine is left.
    Raises: WorkerFault with a worker's traceback where a cell met a fault of the program.
    """
    pool = Pool(sweep, todo, progress, after, save=save)
    if not todo:
        return
    if sweep.options.engine == "ray":
        from harness.engines.ray import Actors

        pool.run(Actors(sweep, todo, progress))
    elif sweep.options.engine == "slurm":
        from harness.engines.slurm import Jobs

        pool.run(Jobs(sweep, todo))
    elif devices := local.devices(sweep, len(todo)):
        pool.run(local.Processes(sweep, todo, devices))
    else:
        local.run_here(sweep, todo, progress, after, save=save)
