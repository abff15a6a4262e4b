"""Which settings of an engine fit together; nothing is connected to here."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from harness import launch

if TYPE_CHECKING:
    from harness.options import Options

_OF_RAY = {"ray_address", "ray_cpus", "ray_gpus", "ray_memory"}


def engine_problems(options: Options) -> list[str]:
    """One sentence for each setting that does not fit the engine."""
    if options.engine != "ray":
        given = [name for name in sorted(_OF_RAY) if getattr(options, name) not in (None, "auto")]
        return [f"{name.replace('_', '.')}= is for engine=ray; add it, or leave this out" for name in given]
    found = []
    if importlib.util.find_spec("ray") is None:
        found.append("engine=ray: the ray package is missing; pip install 'preference-harness[ray]'")
    if options.ray_address not in ("auto", "local") and ":" not in options.ray_address:
        found.append(f"ray.address={options.ray_address} names no cluster; give auto, local or HOST:PORT")
    if launch.processes() > 1:
        found.append("engine=ray starts processes of its own, but this command was launched as several that share each "
                     "cell; run it alone")  # fmt: skip
    if options.rounds > 1:
        found.append(f"rounds={options.rounds} hands weights from round to round on the disk of one machine; under "
                     "engine=ray each cell may have another: leave one out")  # fmt: skip
    if options.workers == 0:
        found.append("workers=0 runs cells in the command's own process, and engine=ray on others; leave one out")
    if options.checkpoint_steps:
        found.append("checkpoint_steps= keeps checkpoints on the disk of one machine; under engine=ray a cell that "
                     "loses its machine begins again: leave it out")  # fmt: skip
    if options.rounds > 1:
        found.append(f"rounds={options.rounds} hands weights from cell to cell through out=, which the machines of a "
                     "cluster need not share; use engine=local")  # fmt: skip
    if options.ray_gpus and options.device == "cpu":
        found.append(f"ray.gpus={options.ray_gpus:g} asks for a GPU that device=cpu leaves idle; drop one of them")
    return found
