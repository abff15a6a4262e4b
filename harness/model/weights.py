"""Whether a folder's files can be the model that its config.json describes: told from their headers, before data is
read. What only loading shows (names that belong to no weight of the model) is said by sources.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from harness.errors import UsageError
from harness.model.sources import Source, empty_model
from harness.options.models import ENTRIES


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter (tied ones once)."""
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def stored_shapes(files: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in safetensors files, from their headers alone."""
    shapes = {}
    for path in files:
        with safe_open(path, framework="pt") as file:
            shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    return shapes


def require_whole(source: Source) -> None:
    """Raises: UsageError where a causal language model's files cannot be read, are quantised, or lack weights."""
    if source.name in ENTRIES:
        return
    if "quantization_config" in json.loads((source.folder / "config.json").read_text()):
        raise UsageError(
            [
                f"model '{source.name}' is quantised, and its log-probs would be those of rounded weights; "
                "save it in fp32, bf16 or fp16"
            ]
        )
    needed, stored = shapes_of(empty_model(source.folder)), {}
    for file in sorted(source.folder.glob("*.safetensors")):
        try:
            stored |= stored_shapes([file])
        except (SafetensorError, OSError) as error:
            raise UsageError(
                [f"model '{source.name}': {file.name} is no whole safetensors file ({error}); copy or save it again"]
            ) from None
    for name in sorted(needed.keys() & stored.keys()):
        if needed[name] != stored[name]:
            raise UsageError(
                [
                    f"model '{source.name}': {name} is {stored[name]} in its files and {needed[name]} by its "
                    "config.json; both must be of one model"
                ]
            )
    numbers, asked = (sum(map(math.prod, shapes.values())) for shapes in (stored, needed))
    if numbers < asked:
        raise UsageError(
            [
                f"model '{source.name}': weights are missing: its *.safetensors hold {numbers:,} numbers, "
                f"and the model has {asked:,}; copy all shards, or save it again"
            ]
        )
