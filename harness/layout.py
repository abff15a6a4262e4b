"""Token ids -> padded rows, and where in them each scored token is predicted: index arithmetic and masks.

Letters: R rows, L tokens in the longest row, N sequences, T scored tokens in the longest sequence,
M scored tokens in all. Two layouts give the same log-probs: `plain` writes one row per answer, `shared`
one row per prompt (prompt, then every answer, each blind to the others, positions restarting after the
prompt), so that a prompt is computed once. Nothing here knows a model or a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor


class Item(NamedTuple):
    """A prompt with the answers to score after it, as token ids."""

    prompt: Sequence[int]
    answers: Sequence[Sequence[int]]


@dataclass(frozen=True, eq=False)
class Layout:
    """A padded batch and the places of its scored tokens.

    input_ids, position_ids: [R, L].
    attention_mask: [R, L] (1 = a token) in the plain layout, [R, 1, L, L] (true = may be seen) in the
                    shared one.
    where:   [M] index into R * L of the position that predicts each scored token.
    targets: [M] the scored tokens.
    place:   [M] index into N * T of each scored token.
    counts:  [N] scored tokens of each sequence: all answers, item by item, then (where asked for) the
             prompts, item by item.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    where: Tensor
    targets: Tensor
    place: Tensor
    counts: Tensor

    @property
    def mask(self) -> Tensor:
        """[N, T], true where a token is scored."""
        steps = torch.arange(int(self.counts.max()), device=self.counts.device)
        return steps[None, :] < self.counts[:, None]

    @property
    def tokens(self) -> int:
        """Tokens that the model computes, padding included."""
        return self.input_ids.numel()

    def to(self, device: str | torch.device) -> Layout:
        """The same layout with its tensors on `device`."""
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})


class _Row(NamedTuple):
    """One unpadded row: ids, positions, the segment of each token (0 = prompt), and its sequences."""

    ids: list[int]
    positions: list[int]
    segments: list[int]
    starts: list[list[int]]  # for each sequence of the row: the predicting positions


def _row(prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> _Row:
    """Prompt and answers side by side; the first token of each answer is predicted by the prompt's last."""
    ids, positions, segments = list(prompt), list(range(len(prompt))), [0] * len(prompt)
    starts = []
    for number, answer in enumerate(answers, start=1):
        begin = len(ids)
        starts.append([len(prompt) - 1, *range(begin, begin + len(answer) - 1)])
        ids += answer
        positions += range(len(prompt), len(prompt) + len(answer))
        segments += [number] * len(answer)
    return _Row(ids, positions, segments, starts)


def plain(items: Sequence[Item], *, pad: int, with_prompt: bool = False) -> Layout:
    """One row per answer: prompt + answer, padded on the right."""
    rows = [_row(item.prompt, [answer]) for item in items for answer in item.answers]
    first = list(accumulate((len(item.answers) for item in items), initial=0))[:-1]
    layout = _assemble(rows, items, prompt_rows=first if with_prompt else None, pad=pad)
    mask = torch.zeros_like(layout.input_ids)
    for index, row in enumerate(rows):
        mask[index, : len(row.ids)] = 1
    return replace(layout, attention_mask=mask)


def shared(items: Sequence[Item], *, pad: int, with_prompt: bool = False) -> Layout:
    """One row per item: the prompt once, then its answers, each seeing the prompt and itself alone."""
    rows = [_row(item.prompt, item.answers) for item in items]
    layout = _assemble(rows, items, prompt_rows=list(range(len(rows))) if with_prompt else None, pad=pad)
    length = layout.input_ids.shape[1]
    segments = torch.full((len(rows), length), -1)
    for index, row in enumerate(rows):
        segments[index, : len(row.segments)] = torch.tensor(row.segments)
    return replace(layout, attention_mask=_branch_mask(segments))


def _branch_mask(segments: Tensor) -> Tensor:
    """[R, 1, L, L] bool: causal, and a key is seen from its own segment or lies in the prompt.

    A padding token sees only itself: a row of a softmax without any key would be NaN.
    """
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    query, key = segments[:, :, None], segments[:, None, :]
    visible = causal & ((key == query) | (key == 0)) & (query >= 0) & (key >= 0)
    return (visible | torch.eye(length, dtype=torch.bool)).unsqueeze(1)


def _assemble(
    rows: Sequence[_Row], items: Sequence[Item], *, prompt_rows: list[int] | None, pad: int
) -> Layout:
    """Pads the rows and lists, for every scored token, its predictor, its id and its place in [N, T]."""
    length = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), length), pad)
    positions = torch.zeros(len(rows), length, dtype=torch.long)
    sequences: list[tuple[list[int], Sequence[int]]] = []
    answers = iter(answer for item in items for answer in item.answers)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        positions[index, : len(row.ids)] = torch.tensor(row.positions)
        sequences += [([index * length + p for p in starts], next(answers)) for starts in row.starts]
    for index, item in zip(prompt_rows or [], items, strict=prompt_rows is not None):
        # The first token of a prompt has nothing before it, so it is never scored.
        sequences.append(([index * length + p for p in range(len(item.prompt) - 1)], item.prompt[1:]))
    width = max(len(targets) for _, targets in sequences)
    return Layout(
        input_ids=ids,
        position_ids=positions,
        attention_mask=torch.empty(0),
        where=torch.tensor([p for predictors, _ in sequences for p in predictors]),
        targets=torch.tensor([t for _, targets in sequences for t in targets]),
        place=torch.tensor([n * width + t for n, (_, s) in enumerate(sequences) for t in range(len(s))]),
        counts=torch.tensor([len(targets) for _, targets in sequences]),
    )


Build = Callable[..., Layout]
LAYOUTS: dict[str, Build] = {"plain": plain, "shared": shared}
