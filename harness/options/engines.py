"""What a cell asks of another machine: the keys of each engine, after all others in `list options`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator

from harness.options.fields import Scope, option
from harness.options.parsers import Auto, Number, OrNone, Text, WholeNumber
from harness.options.words import SCALAR


class EngineOptions(BaseModel, defer_build=True):
    """The keys `ray.` and `slurm.`, which name no cell and change no number."""

    ray_address: Annotated[str, BeforeValidator(Text())] = option(
        "auto",
        "the Ray cluster: auto (that of this machine), HOST:PORT, or local (one of this machine alone)",
        key="ray.address",
        scope=Scope.MACHINE,
    )
    ray_cpus: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1)))] = option(
        None,
        "CPUs of a cell under engine=ray, and its threads; auto = threads=, else 1",
        SCALAR,
        "auto",
        "ray.cpus",
        scope=Scope.MACHINE,
    )
    ray_gpus: Annotated[float | None, BeforeValidator(Auto(Number(minimum=0, maximum=1)))] = option(
        None,
        "GPUs of a cell under engine=ray; auto = 1 where the cluster has some",
        SCALAR,
        "auto",
        "ray.gpus",
        scope=Scope.MACHINE,
    )
    ray_memory: Annotated[float | None, BeforeValidator(Auto(Number(above=0)))] = option(
        None,
        "GiB that Ray sets aside for a cell; auto = it counts none",
        SCALAR,
        "auto",
        "ray.memory",
        scope=Scope.MACHINE,
    )
    slurm_partition: Annotated[str | None, BeforeValidator(OrNone(Text()))] = option(
        None,
        "the partition of Slurm jobs; none = the cluster's default",
        SCALAR,
        "none",
        "slurm.partition",
        scope=Scope.MACHINE,
    )
    slurm_account: Annotated[str | None, BeforeValidator(OrNone(Text()))] = option(
        None,
        "the account that Slurm jobs are charged to; none = yours",
        SCALAR,
        "none",
        "slurm.account",
        scope=Scope.MACHINE,
    )
    slurm_hours: Annotated[float, BeforeValidator(Number(above=0))] = option(
        24.0,
        "time limit of a Slurm job, which runs many cells; another goes on after it",
        key="slurm.hours",
        scope=Scope.MACHINE,
    )
    slurm_cpus: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1)))] = option(
        None,
        "CPUs of a Slurm job, and its threads; auto = threads=, else 4",
        SCALAR,
        "auto",
        "slurm.cpus",
        scope=Scope.MACHINE,
    )
    slurm_gpus: Annotated[int | None, BeforeValidator(Auto(WholeNumber(0, 1)))] = option(
        None, "GPUs of a Slurm job; auto = 0 with device=cpu, else 1", SCALAR, "auto", "slurm.gpus", scope=Scope.MACHINE
    )
    slurm_memory: Annotated[float | None, BeforeValidator(Auto(Number(above=0)))] = option(
        None, "GiB of a Slurm job; auto = what the partition gives", SCALAR, "auto", "slurm.memory", scope=Scope.MACHINE
    )
