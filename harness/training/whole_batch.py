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
    """Log-probs, statistics and mask [n, T] of some rows: first their answers, then (where asked for) their prompts."""

    logps: Tensor
    stats: dict[str, Tensor]
    mask: Tensor
    answers: int

    @classmethod
    def of(cls, scored: Scored, mask: Tensor, answers: int) -> Seen:
        """What was scored, on the CPU, where processes exchange it."""
        return cls(scored.logps, scored.stats, mask, answers).to("cpu")

    def to(self, device: str | torch.device) -> Seen:
        """The same on a device."""
        stats = {name: value.to(device) for name, value in self.stats.items()}
        return Seen(self.logps.to(device), stats, self.mask.to(device), self.answers)


def join(parts: Sequence[Seen]) -> Seen:
    """Micro-batches as one, in the order that a loss expects: every answer, then every prompt."""

    def whole(tensor_of: Callable[[Seen], Tensor]) -> Tensor:
        tensors = [tensor_of(part) for part in parts]
        width = max(tensor.shape[1] for tensor in tensors)
        padded = [torch.nn.functional.pad(tensor, (0, width - tensor.shape[1])) for tensor in tensors]
        answers = [tensor[: part.answers] for tensor, part in zip(padded, parts, strict=True)]
        prompts = [tensor[part.answers :] for tensor, part in zip(padded, parts, strict=True)]
        return torch.cat(answers + prompts)

    return Seen(
        whole(lambda part: part.logps),
        {name: whole(partial(_statistic, name)) for name in parts[0].stats},
        whole(lambda part: part.mask),
        sum(part.answers for part in parts),
    )


def _statistic(name: str, part: Seen) -> Tensor:
    return part.stats[name]


def cut(gradient: Tensor, parts: Sequence[Seen]) -> list[Tensor]:
    """The gradient [N, T] of what `join` made, for each of its micro-batches."""
    answer, prompt, pieces = 0, sum(part.answers for part in parts), []
    for part in parts:
        sequences, width = part.logps.shape
        prompts = sequences - part.answers
        rows = torch.cat([gradient[answer : answer + part.answers], gradient[prompt : prompt + prompts]])
        pieces.append(rows[:, :width])
        answer, prompt = answer + part.answers, prompt + prompts
    return pieces
