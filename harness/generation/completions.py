"""Sampled completions, kept on disk: a model is asked the same prompts in the same way once.

Prompts are completed in blocks of fixed size in the order given, so that what a model writes does not depend on
what was kept before; the block is the unit of key, file and atomic write.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from harness.cache import cache_folder, writing
from harness.compute import ranks
from harness.generation.sampler import Completion, Sampling, TokenPrompt, generate

BLOCK = 32  # prompts

# Raised by hand when a change of code changes what is sampled.
SAMPLING = 2


@dataclass(frozen=True)
class Generator:
    """A model that completions: its weights' digest, how to get it (asked for only when needed), its tokenizer, and
    the precision of its products."""

    weights: str
    load: Callable[[], nn.Module]
    tokenizer: Any
    end_of_turn: int
    precision: str = "fp32"

    @cached_property
    def model(self) -> nn.Module:
        """The model, loaded at the first question that is new."""
        return self.load()


def kept_completions(
    generator: Generator,
    prompts: Sequence[TokenPrompt],
    sampling: Sampling,
    *,
    samples: int = 1,
    advance: Callable[[int], None] = lambda n: None,
) -> list[Completion]:
    """Completions to prompts (id, token ids), `samples` each: kept blocks are read, the others sampled and kept.

    advance: told the number of prompts that are done.
    """
    blocks = [prompts[start : start + BLOCK] for start in range(0, len(prompts), BLOCK)]
    paths = [_path(generator, block, sampling, samples) for block in blocks]
    known = ranks.all_gather(lambda: [_read(path) for path in paths] if ranks.is_main_process() else [])[0]
    advance(sum(len(block) for block, completions in zip(blocks, known, strict=True) if completions is not None))

    def write(number: int) -> list[Completion]:
        return generate(
            generator.model,
            blocks[number],
            sampling,
            tokenizer=generator.tokenizer,
            end_of_turn=generator.end_of_turn,
            samples=samples,
            precision=generator.precision,
        )

    def keep(number: int, completions: list[Completion]) -> None:
        known[number] = completions
        if ranks.is_main_process():
            with writing(paths[number]) as temporary:
                temporary.write_text(json.dumps([asdict(completion) for completion in completions]))
        advance(len(blocks[number]))

    ranks.dealt([number for number, completions in enumerate(known) if completions is None], write, keep)
    return [completion for block in known for completion in block]


def _path(generator: Generator, block: Sequence[TokenPrompt], sampling: Sampling, samples: int) -> Path:
    content = {
        "version": SAMPLING,
        "weights": generator.weights,
        "end_of_turn": generator.end_of_turn,
        "prompts": block,
        "sampling": asdict(sampling),
        "samples": samples,
        "precision": generator.precision,
    }
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return cache_folder("answers", key[:2]) / f"{key}.json"


def _read(path: Path) -> list[Completion] | None:
    """The kept block, or None where there is none that can be read."""
    names = {field.name for field in dataclasses.fields(Completion)}
    try:
        items = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(items, list) or any(not isinstance(item, dict) or set(item) != names for item in items):
        return None
    return [Completion(**item | {"tokens": tuple(item["tokens"])}) for item in items]
