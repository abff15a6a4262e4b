"""Options that are each allowed and do not fit together, grouped by what they are about. No heavy import."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

from harness.launch import local_processes, processes
from harness.options.engines import EngineOptions
from harness.options.fields import OptionCard, Scope, cards_of, fields_in, is_changed
from harness.options.run_fields import RunFields


def problems(options: RunFields) -> list[str]:
    """A sentence for each thing that does not fit together; search and confirmation are in search.py."""
    groups = (_of_rows, _of_rounds, _of_micro_batch, _of_judging, _of_baselines, _of_reranking, _of_prompts)
    return [problem for group in groups for problem in group(options)]


def _of_rows(options: RunFields) -> Iterator[str]:
    """Too few training rows for a batch, or several numbers of them for one start."""
    if options.batch_size > min(options.train_pairs):
        yield (
            f"batch_size={options.batch_size} is larger than train_pairs={min(options.train_pairs)}, so no batch is "
            "full and nothing would be trained; lower batch_size or raise train_pairs"
        )
    if options.start == "sft" and len(options.train_pairs) > 1:
        yield (
            f"start=sft tunes one start for all cells, but train_pairs={','.join(map(str, options.train_pairs))} "
            "gives it several sizes; name one train_pairs, or use start=model"
        )


def _of_rounds(options: RunFields) -> Iterator[str]:
    """What only later rounds read, and what they cannot be together with."""
    if options.rounds == 1:
        for key in ("reference", "score"):
            if is_changed(options, key):
                yield f"{key}={getattr(options, key)} is for later rounds, but rounds=1; add rounds=3, say"
    elif options.search != "none":
        yield (
            f"rounds={options.rounds}: search={options.search} tries one round of each setting; search first, "
            "and name what it found with rounds="
        )


def _of_micro_batch(options: RunFields) -> Iterator[str]:
    if options.micro_batch is not None and options.micro_batch > options.batch_size:
        yield (
            f"micro_batch={options.micro_batch} is larger than batch_size={options.batch_size}; "
            f"allowed: 1 to {options.batch_size}, or auto"
        )


def _of_judging(options: RunFields) -> Iterator[str]:
    """Readers of completions where none are generated."""
    if options.judge and not options.generate:
        judges = ",".join(options.judge)
        yield f"judge={judges} compares generated completions, but generate=0; add generate=128, say"
    if options.refusal != "none" and not options.generate:
        yield f"refusal={options.refusal} reads generated completions, but generate=0; add generate=128, say"


def _of_baselines(options: RunFields) -> Iterator[str]:
    """Measurements that read the completions of the untrained baseline, where it is left out."""
    if options.controls:
        return
    if options.judge and options.judge_settings.get("baseline", "reference") == "reference":
        key, instead = "judge=", ", or compare with judge.baseline=chosen"
    elif options.refusal != "none":
        key, instead = "refusal=", ""
    else:
        return
    yield (
        f"{key} reads the completions of the baseline `none` beside a loss's, but controls=false; leave "
        f"controls=true{instead}"
    )


def _of_reranking(options: RunFields) -> Iterator[str]:
    """Nothing to choose from: no prompts, or completions that are all alike."""
    if options.rerank and not options.generate:
        yield f"rerank={options.rerank} chooses among completions of prompts, but generate=0; add generate=128"
    if options.rerank == 1 or (options.rerank and not options.temperature):
        yield (
            f"rerank={options.rerank} at temperature={options.temperature:g} gives one completion of a prompt, "
            "so there is nothing to choose from; write rerank=8 and temperature=1, say"
        )


def _of_prompts(options: RunFields) -> Iterator[str]:
    if options.prompts is not None and not options.generate:
        yield "prompts= names what is to be answered, but generate=0; add generate=128, say"


def plan_problems(options: RunFields) -> list[str]:
    """A sentence for each key that a plan alone reads, where one was given to `run`."""
    given = [key for key in fields_in(RunFields, Scope.PLAN) if key in options.model_fields_set]
    return [f"{key}= is for plan alone; leave it out" for key in given]


_PACKAGES = {"ray": "ray", "slurm": "submitit"}  # of the engines that use other machines


def engine_problems(options: RunFields) -> list[str]:
    """One sentence for each setting that does not fit the engine."""
    return [*_of_other_engines(options), *_beyond_this_machine(options), *_of_ray(options)]


def _of_other_engines(options: RunFields) -> list[str]:
    cards = [card for card in cards_of(EngineOptions) if is_changed(options, card.field)]
    idle = sorted(card.name for card in cards if not card.name.startswith(f"{options.engine}."))
    return [f"{name}= is for engine={name.partition('.')[0]}; add it, or leave this out" for name in idle]


def _beyond_this_machine(options: RunFields) -> list[str]:
    """What both engines that use other machines cannot do."""
    engine, found = options.engine, []
    if engine not in _PACKAGES:
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
    found: list[str] = []
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
    if processes() == 1:
        alone = "shard=true splits weights over the processes of a launch, but this command was started as one"
        return [f"{alone}; start it with torchrun or accelerate launch, or leave shard= out"] if options.shard else []
    groups = (_of_own_processes(options), _of_devices(options), _of_launcher(), _of_shards(options))
    return [problem for group in groups for problem in group]


def _of_own_processes(options: RunFields) -> Iterator[str]:
    if options.workers:
        yield (
            f"workers={options.workers} starts processes of its own, but this command was launched as {processes()} "
            "processes that share each cell; leave workers= out"
        )


def _of_devices(options: RunFields) -> Iterator[str]:
    """One device for several processes, or fewer than there are processes."""
    import torch

    if options.device == "mps" or options.device.startswith("cuda:"):
        yield (
            f"device={options.device} names one device, but this command was launched as {processes()} processes, "
            "each on its own; allowed: auto, cuda, cpu"
        )
    gpus = torch.cuda.device_count()
    if options.device in ("auto", "cuda") and 0 < gpus < local_processes():
        yield (
            f"{local_processes()} processes were launched on this machine, which has {gpus} GPU{'s' * (gpus > 1)}; "
            f"launch {gpus} at most, or add device=cpu"
        )


def _of_launcher() -> Iterator[str]:
    """Switches of `accelerate launch` that would split the weights as well."""
    for switch, what in (("ACCELERATE_USE_FSDP", "--use_fsdp"), ("ACCELERATE_USE_DEEPSPEED", "--use_deepspeed")):
        if os.environ.get(switch, "").lower() in ("1", "true"):
            yield f"accelerate launch {what}: how weights are split is said by shard=true here (FSDP); leave {what} out"


def _of_shards(options: RunFields) -> Iterator[str]:
    """What reads or writes whole weights, or passes the model in one process alone."""
    words = [_as_word(card) for card in cards_of(RunFields) if _needs_whole_model(options, card)]
    if options.shard and words:
        yield (
            f"shard=true: {', '.join(words)} needs the whole model in one process; leave it out, or shard= where the "
            "model fits on one device"
        )


def _needs_whole_model(options: RunFields, card: OptionCard) -> bool:
    if isinstance(card.whole_model, str):
        return bool(getattr(options, card.field) == card.whole_model)
    return card.whole_model and is_changed(options, card.field)


def _as_word(card: OptionCard) -> str:
    """The key, and the one value that needs the whole model, where not every value does."""
    return f"{card.name}={card.whole_model}" if isinstance(card.whole_model, str) else f"{card.name}="
