"""Options that are each allowed and do not fit together. No heavy import."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from harness.launch import local_processes, processes
from harness.options.engines import EngineOptions

if TYPE_CHECKING:
    from harness.options.run_fields import RunFields


def problems(options: RunFields) -> list[str]:
    """A sentence for each thing that does not fit together; search and claim are in search_options.py."""
    found = []
    if options.batch_size > min(options.train_pairs):
        found.append(
            f"batch_size={options.batch_size} is larger than train_pairs={min(options.train_pairs)}, so no batch is "
            "full and nothing would be trained; lower batch_size or raise train_pairs"
        )
    if options.start == "sft" and len(options.train_pairs) > 1:
        found.append(
            f"start=sft tunes one start for all cells, but train_pairs={','.join(map(str, options.train_pairs))} "
            "gives it several sizes; name one train_pairs, or use start=model"
        )
    idle = {"reference": "first", "score": "gold"} if options.rounds == 1 else {}
    found += [
        f"{key}={getattr(options, key)} is for later rounds, but rounds=1; add rounds=3, say"
        for key, default in idle.items()
        if getattr(options, key) != default
    ]
    if options.rounds > 1 and options.search != "none":
        found.append(
            f"rounds={options.rounds}: search={options.search} tries one round of each setting; search first, "
            "and name what it found with rounds="
        )
    if options.micro_batch is not None and options.micro_batch > options.batch_size:
        found.append(
            f"micro_batch={options.micro_batch} is larger than batch_size={options.batch_size}; "
            f"allowed: 1 to {options.batch_size}, or auto"
        )
    if options.judge and not options.generate:
        judges = ",".join(options.judge)
        found.append(f"judge={judges} compares generated answers, but generate=0; add generate=128, say")
    if options.refusal != "none" and not options.generate:
        found.append(f"refusal={options.refusal} reads generated answers, but generate=0; add generate=128, say")
    compared = bool(options.judge) and options.judge_settings.get("baseline", "reference") == "reference"
    if (compared or options.refusal != "none") and not options.controls:
        asking = "judge=" if compared else "refusal="
        found.append(
            f"{asking} reads the answers of the control `none` beside a loss's, but controls=false; leave "
            "controls=true" + (", or compare with judge.baseline=chosen" if compared else "")
        )
    if options.rerank and not options.generate:
        found.append(f"rerank={options.rerank} chooses among answers to prompts, but generate=0; add generate=128")
    if options.rerank == 1 or (options.rerank and not options.temperature):
        found.append(
            f"rerank={options.rerank} at temperature={options.temperature:g} gives one answer to a prompt, "
            "so there is nothing to choose from; write rerank=8 and temperature=1, say"
        )
    if options.prompts is not None and not options.generate:
        found.append("prompts= names what is to be answered, but generate=0; add generate=128, say")
    return found


# What reads or writes whole weights, or passes the model in one process alone.
ALONE = {
    "tuning=lora": lambda o: o.tuning == "lora",
    "rounds=": lambda o: o.rounds > 1,
    "start=sft": lambda o: o.start == "sft",
    "generate=": lambda o: o.generate > 0,
    "similarity=ches": lambda o: o.similarity == "ches",
    "lm_eval=": lambda o: bool(o.lm_eval),
    "save=": lambda o: o.save != "none",
    "checkpoint_steps=": lambda o: o.checkpoint_steps > 0,
}

_PACKAGES = {"ray": "ray", "slurm": "submitit"}


def engine_problems(options: RunFields) -> list[str]:
    """One sentence for each setting that does not fit the engine."""
    return [*_of_other_engines(options), *_beyond_this_machine(options), *_of_ray(options)]


def _of_other_engines(options: RunFields) -> list[str]:
    given = [
        name
        for name, field in sorted(EngineOptions.model_fields.items())
        if not name.startswith(options.engine) and getattr(options, name) != field.default
    ]
    return [
        f"{name.replace('_', '.')}= is for engine={name.partition('_')[0]}; add it, or leave this out" for name in given
    ]


def _beyond_this_machine(options: RunFields) -> list[str]:
    """What both engines that use other machines cannot do."""
    engine, found = options.engine, []
    if engine == "local":
        return []
    package = _PACKAGES[engine]
    if importlib.util.find_spec(package) is None:
        found.append(f"engine={engine}: the {package} package is missing; pip install 'preference-harness[{engine}]'")
    if processes() > 1:
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


def _of_ray(options: RunFields) -> list[str]:
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


def launch_problems(options: RunFields) -> list[str]:
    """What in the options does not go with several processes at one cell, a sentence each."""
    count = processes()
    if count == 1:
        alone = "shard=true splits weights over the processes of a launch, but this command was started as one"
        return [f"{alone}; start it with torchrun or accelerate launch, or leave shard= out"] if options.shard else []
    import torch

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
