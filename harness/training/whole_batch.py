"""Log-probs of micro-batches <-> those of the whole optimizer batch, for a loss that must see all of them at once.

Pure: no model and no other process. n sequences of a micro-batch, T positions of its longest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from harness.model.logprobs import Scored


class Seen(NamedTuple):
    """Log-probs, statistics and mask [n, T] of some rows: first completions, then (where asked for) prompts."""

    logps: Tensor
    stats: dict[str, Tensor]
    mask: Tensor
    completions: int

    @classmethod
    def of(cls, scored: Scored, mask: Tensor, completions: int) -> Seen:
        """What was scored, on the CPU, where processes exchange it."""
        return cls(scored.logps, scored.stats, mask, completions).to("cpu")

    def to(self, device: str | torch.device) -> Seen:
        """The same on a device."""
        stats = {name: value.to(device) for name, value in self.stats.items()}
        return Seen(self.logps.to(device), stats, self.mask.to(device), self.completions)


def join(parts: Sequence[Seen]) -> Seen:
    """Micro-batches as one, in the order that a loss expects: every completion, then every prompt."""

    def whole(tensor_of: Callable[[Seen], Tensor]) -> Tensor:
        tensors = [tensor_of(part) for part in parts]
        width = max(tensor.shape[1] for tensor in tensors)
        padded = [torch.nn.functional.pad(tensor, (0, width - tensor.shape[1])) for tensor in tensors]
        completions = [tensor[: part.completions] for tensor, part in zip(padded, parts, strict=True)]
        prompts = [tensor[part.completions :] for tensor, part in zip(padded, parts, strict=True)]
        return torch.cat(completions + prompts)

    return Seen(
        whole(lambda part: part.logps),
        {name: whole(partial(_statistic, name)) for name in parts[0].stats},
        whole(lambda part: part.mask),
        sum(part.completions for part in parts),
    )


def _statistic(name: str, part: Seen) -> Tensor:
    return part.stats[name]


def cut(gradient: Tensor, parts: Sequence[Seen]) -> list[Tensor]:
    """The gradient [N, T] of what `join` made, for each of its micro-batches."""
    completion, prompt, pieces = 0, sum(part.completions for part in parts), []
    for part in parts:
        sequences, width = part.logps.shape
        prompts = sequences - part.completions
        rows = torch.cat([gradient[completion : completion + part.completions], gradient[prompt : prompt + prompts]])
        pieces.append(rows[:, :width])
        completion, prompt = completion + part.completions, prompt + prompts
    return pieces
