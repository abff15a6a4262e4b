"""The words of a benchmark: its own keys here, every other word an option of the harness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.options.lookup import read_options
from harness.options.parsers import Auto, Choice, Number, Several, Text, WholeNumber

PARTS = ("step", "lora", "sweep", "share", "limit")
# Where the command names nothing else: real preferences, and conditions equal on both sides.
HARNESS_DEFAULTS = {
    "suite": "hh-rlhf",
    "suite.subset": "harmless-base",
    "model": "smollm2-135m",
    "max_tokens": "512",
    "batch_size": "16",
}
# Decided by the parts themselves.
TAKEN = ("losses", "betas", "lrs", "seeds", "controls", "tuning", "layout", "store", "save", "evals", "epochs")


def _some_parts(text: str) -> tuple[str, ...]:
    return tuple(Choice(PARTS)(part) for part in Several(Text())(tuple(text.split(","))))


# key -> (parser, default, meaning)
KEYS = {
    "parts": (_some_parts, PARTS, f"what to measure, by comma: {', '.join(PARTS)}"),
    "turns": (WholeNumber(1), 3, "times that each side is measured, in turns"),
    "steps": (WholeNumber(2), 4, "optimizer steps of a measurement; the first is warm-up and not timed"),
    "trl_micro": (WholeNumber(2), 4, "pairs of TRL's micro-batch at its fastest settings"),
    "cells": (Choice(("all", "one")), "all", "TRL's cells of the sweep: all 20, or one a loss, the rest extrapolated"),
    "train_pairs": (WholeNumber(1), 32, "training pairs of a cell of the sweep"),
    "eval_pairs": (WholeNumber(1), 32, "test pairs, and as many validation pairs, of a cell of the sweep"),
    "peak_tflops": (Auto(Number(above=0)), None, "the device's peak matrix rate, to show the share of it"),
    "out": (Text(), "runs/benchmarks.json", "file of the raw numbers"),
}


@dataclass(frozen=True)
class Settings:
    """What to measure and how often; `words` go to the harness, on both sides."""

    words: tuple[str, ...]
    parts: tuple[str, ...]
    turns: int
    steps: int
    trl_micro: int
    cells: str
    train_pairs: int
    eval_pairs: int
    peak_tflops: float | None
    out: str


def read(argv: Sequence[str]) -> Settings:
    """Settings from command-line words, the harness's options checked too.

    Raises: UsageError with every problem found.
    """
    values = {key: default for key, (_, default, _) in KEYS.items()}
    given: dict[str, str] = {}
    errors = []
    for word in argv:
        key, equals, text = word.partition("=")
        if key in TAKEN or key.partition(".")[0] in ("dpo", "ipo", "kto", "simpo", "orpo"):
            errors.append(f"{key}= is decided by the benchmark; leave it out")
        elif key in KEYS and equals:
            try:
                values[key] = KEYS[key][0](text)
            except ValueError as error:
                errors.append(f"{key}: {error}")
        else:
            given[key] = word
    defaults = HARNESS_DEFAULTS.copy()
    if "suite" in given:
        del defaults["suite.subset"]
    words = [f"{key}={text}" for key, text in defaults.items() if key not in given] + list(given.values())
    settings = Settings(words=tuple(_with_model(words)), **values)
    try:
        read_options([*settings.words, "losses=dpo", f"train_pairs={settings.train_pairs}"])
    except UsageError as error:
        errors += error.messages
    if errors:
        raise UsageError(errors)
    return settings


def _with_model(argv: Sequence[str]) -> list[str]:
    """The words with `model=random:1b` replaced by the folder of that model, made on first use."""
    return [f"model={random_llama()}" if word == "model=random:1b" else word for word in argv]


def random_llama() -> Path:
    """The folder of a llama of 1.07 billion random parameters, in the shape of Llama-3.2-1B over SmolLM2's tokens.

    Speed depends on shapes alone, so a model that cannot be packaged is not needed.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from harness.cache import building, cache_folder
    from harness.model.sources import find, load_tokenizer

    target = cache_folder("models") / "random-1b-1"
    if not target.is_dir():
        tokenizer = load_tokenizer(find("smollm2-135m"))
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=16,
            num_attention_heads=32,
            num_key_value_heads=8,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=tokenizer.bos_token_id,
        )
        with building(target) as temporary, torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            LlamaForCausalLM(config).save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
    return target
