"""Cells of a sweep on the engine that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from harness.cells.sweep import Sweep
from harness.compute.machine import Machine, machine_here, resolve
from harness.engines import local
from harness.engines.cluster import SECONDS_OF_PATIENCE, connect, request, require_room
from harness.engines.pool import Pool
from harness.engines.protocol import AfterCell
from harness.errors import UsageError
from harness.experiment.trial import Trial
from harness.options.run import Options
from harness.progress import Progress


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


def machine_of(options: Options, progress: Progress, *, planned: bool = False) -> Machine:
    """The machine that cells run on: this one, or one of the cluster's, which is asked.

    planned: cells are only planned, for which nothing waits in the queue of Slurm.
    Raises: UsageError where there is no such device, or no cluster with room for a cell.
    """
    if options.engine == "slurm" and not planned:
        from harness.engines.slurm import machine_there

        return machine_there(options, progress)
    if options.engine != "ray":
        return resolve(options)
    import ray
    from ray.exceptions import RayError

    connect(options.ray_address)
    asked = request(options)
    require_room(asked)
    answer = ray.remote(machine_here).options(**asked, max_retries=3).remote(options, asked)
    if not ray.wait([answer], timeout=SECONDS_OF_PATIENCE)[0]:
        progress.note("waiting for room on the Ray cluster, which is at other work")
    try:
        return ray.get(answer)
    except UsageError:
        raise
    except RayError as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        raise UsageError(
            [
                f"engine=ray: a node of the cluster cannot run cells ({last}); preference-harness and its libraries "
                "must be installed there in the versions that are here"
            ]
        ) from None
