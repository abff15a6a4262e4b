"""Options that are each allowed and do not fit together. No heavy import."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.options import Options


def problems(options: Options) -> list[str]:
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
