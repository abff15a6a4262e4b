"""Which settings of an engine fit together; nothing is connected to here."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from harness import launch
from harness.engines.options import EngineOptions

if TYPE_CHECKING:
    from harness.options import Options

_PACKAGES = {"ray": "ray", "slurm": "submitit"}


def engine_problems(options: Options) -> list[str]:
    """One sentence for each setting that does not fit the engine."""
    return [*_of_other_engines(options), *_beyond_this_machine(options), *_of_ray(options)]


def _of_other_engines(options: Options) -> list[str]:
    given = [
        name
        for name, field in sorted(EngineOptions.model_fields.items())
        if not name.startswith(options.engine) and getattr(options, name) != field.default
    ]
    return [
        f"{name.replace('_', '.')}= is for engine={name.partition('_')[0]}; add it, or leave this out" for name in given
    ]


def _beyond_this_machine(options: Options) -> list[str]:
    """What both engines that use other machines cannot do."""
    engine, found = options.engine, []
    if engine == "local":
        return []
    package = _PACKAGES[engine]
    if importlib.util.find_spec(package) is None:
        found.append(f"engine={engine}: the {package} package is missing; pip install 'preference-harness[{engine}]'")
    if launch.processes() > 1:
        found.append(
            f"engine={engine} starts processes of its own, but this command was launched as several that "
            "share each cell; run it alone"
        )
    if options.workers == 0:
        found.append(f"workers=0 runs cells in the command's own process, and engine={engine} on others; leave one out")
    gpus = getattr(options, f"{engine}_gpus")
    if gpus and options.device == "cpu":
        found.append(f"{engine}.gpus={gpus:g} asks for a GPU that device=cpu leaves idle; drop one of them")
    return found


def _of_ray(options: Options) -> list[str]:
    found = []
    if options.engine != "ray":
        return found
    if options.ray_address not in ("auto", "local") and ":" not in options.ray_address:
        found.append(f"ray.address={options.ray_address} names no cluster; give auto, local or HOST:PORT")
    if options.checkpoint_steps:
        found.append(
            "checkpoint_steps= keeps checkpoints on the disk of one machine; under engine=ray a cell that "
            "loses its machine begins again: leave it out"
        )
    if options.rounds > 1:
        found.append(
            f"rounds={options.rounds} hands weights from cell to cell through out=, which the machines of a "
            "cluster need not share; use engine=local"
        )
    return found
