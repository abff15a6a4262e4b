"""Token ids -> rows, and where in them each scored token is predicted: index arithmetic, no masks and no model.

Letters: R rows, L tokens in the longest row, N sequences, T scored tokens in the longest sequence, M scored
tokens in all. Three layouts give the same log-probs:

    plain   one padded row an answer, as every model takes it
    shared  one padded row an item: the prompt once, then its answers, positions restarting after the prompt
    packed  all items end to end in one row, so that nothing is padding either, after the stem: what all their
            prompts begin with (a system's turn, the opening of a chat template), written and computed once

What a token may see is the same rule in all three (`visible`); attention.py turns it into masks or blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

STEM, PADDING = -2, -1  # owners of tokens that are no item's own


class Item(NamedTuple):
    """A prompt with the answers to score after it, as token ids."""

    prompt: Sequence[int]
    answers: Sequence[Sequence[int]]


@dataclass(frozen=True, eq=False)
class Layout:
    """A batch of rows and the places of its scored tokens.

    kind:         "plain", "shared" or "packed".
    input_ids, position_ids: [R, L].
    owners:       [R, L] which item a token belongs to, STEM for what all share, PADDING for none.
    segments:     [R, L] 0 in the prompt, n in the item's n-th answer.
    stem:         tokens that open every prompt and stand once, at the start of a packed row.
    parts:        for each owner, in order: the lengths of its prompt (after the stem) and of its answers.
    where:        [M] index into R * L of the position that predicts each scored token.
    targets:      [M] the scored tokens.
    place:        [M] index into N * T of each scored token.
    counts:       [N] scored tokens of each sequence: all answers, item by item, then (where asked for) the
                  prompts, item by item.
    """

    kind: str
    input_ids: Tensor
    position_ids: Tensor
    owners: Tensor
    segments: Tensor
    stem: int
    parts: tuple[tuple[int, ...], ...]
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
        return replace(self, **{k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)})


def visible(layout: Layout, window: int | None = None) -> Tensor:
    """[R, 1, L, L] bool: whether a query (third axis) may see a key (fourth).

    A key is seen from its own item (one of the stem from every item), where it lies in the prompt or in the
    query's own answer, not after the query, and (under a sliding window) less than `window` positions before
    it. Positions count, not places in the row: an answer follows its prompt directly, wherever it is written.
    A padding token sees itself: a softmax over nothing would be NaN.
    """
    query = {name: getattr(layout, name)[:, :, None] for name in ("owners", "segments", "position_ids")}
    key = {name: getattr(layout, name)[:, None, :] for name in query}
    seen = (query["owners"] == key["owners"]) | (key["owners"] == STEM)
    seen &= query["owners"] != PADDING
    seen &= (key["segments"] == 0) | (key["segments"] == query["segments"])
    distance = query["position_ids"] - key["position_ids"]
    seen &= distance >= 0
    if window is not None:
        seen &= distance < window
    itself = torch.eye(seen.shape[-1], dtype=torch.bool, device=seen.device)
    return (seen | itself).unsqueeze(1)


class _Strip(NamedTuple):
    """One item or sequence, unpadded: ids, positions, segments, and its sequences' predicting positions."""

    ids: list[int]
    positions: list[int]
    segments: list[int]
    starts: list[list[int]]
    parts: tuple[int, ...]


def _strip(prompt: Sequence[int], answers: Sequence[Sequence[int]], stem: int = 0) -> _Strip:
    """Prompt (after the stem) and answers side by side; the first token of each answer is predicted by the
    prompt's last."""
    ids, positions, own = list(prompt[stem:]), list(range(stem, len(prompt))), len(prompt) - stem
    segments, starts = [0] * own, []
    for number, answer in enumerate(answers, start=1):
        begin = len(ids)
        starts.append([own - 1, *range(begin, begin + len(answer) - 1)][: len(answer)])
        ids += answer
        positions += range(len(prompt), len(prompt) + len(answer))
        segments += [number] * len(answer)
    return _Strip(ids, positions, segments, starts, (own, *map(len, answers)))


def plain(items: Sequence[Item], *, pad: int, with_prompt: bool = False) -> Layout:
    """One row per answer: prompt + answer, padded on the right."""
    strips = [_strip(item.prompt, [answer]) for item in items for answer in item.answers]
    first = list(accumulate((len(item.answers) for item in items), initial=0))[:-1]
    return _assemble("plain", strips, items, first if with_prompt else None, pad)


def shared(items: Sequence[Item], *, pad: int, with_prompt: bool = False) -> Layout:
    """One row per item, padded on the right: the prompt once, then its answers."""
    strips = [_strip(item.prompt, item.answers) for item in items]
    return _assemble("shared", strips, items, list(range(len(strips))) if with_prompt else None, pad)


# The packed row is filled up to a multiple of this, so that few distinct shapes occur: kernels are made and
# memory is reused by shape.
MULTIPLE = 64
SHORTEST_STEM = 8  # a shorter one saves less than its keys cost, which join those of every item


def packed(items: Sequence[Item], *, pad: int, with_prompt: bool = False) -> Layout:
    """One row for all items, end to end, after what their prompts have in common."""
    stem = common_opening([item.prompt for item in items])
    strips = [_strip(item.prompt, item.answers, stem) for item in items]
    return _assemble("packed", strips, items, list(range(len(strips))) if with_prompt else None, pad, stem)


def common_opening(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; each keeps one token at least, which predicts its answers."""
    most = min(map(len, prompts)) - 1 if len(prompts) > 1 else 0
    # What the first and the last in order share, all between them share too.
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))
    common = next((n for n in range(most) if first[n] != last[n]), most)
    return common if common >= SHORTEST_STEM else 0


def _assemble(
    kind: str,
    strips: Sequence[_Strip],
    items: Sequence[Item],
    prompt_strips: list[int] | None,
    pad: int,
    stem: int = 0,
) -> Layout:
    """Writes the strips into rows and lists, for every scored token, its predictor, id and place in [N, T]."""
    sizes = [len(strip.ids) for strip in strips]
    if kind == "packed":
        shape = (1, -(-(stem + sum(sizes)) // MULTIPLE) * MULTIPLE)
        offsets = list(accumulate(sizes, initial=stem))[:-1]
    else:
        shape = (len(strips), max(sizes))
        offsets = [index * shape[1] for index in range(len(strips))]
    fields = {name: torch.full(shape, fill).view(-1) for name, fill in _FILL.items()}
    fields["input_ids"].fill_(pad)
    if stem:
        fields["input_ids"][:stem] = torch.tensor(items[0].prompt[:stem])
        fields["position_ids"][:stem] = torch.arange(stem)
        fields["owners"][:stem] = STEM
    sequences: list[tuple[list[int], Sequence[int]]] = []
    answers = iter(answer for item in items for answer in item.answers)
    for number, (offset, size, strip) in enumerate(zip(offsets, sizes, strips, strict=True)):
        span = slice(offset, offset + size)
        fields["input_ids"][span] = torch.tensor(strip.ids)
        fields["position_ids"][span] = torch.tensor(strip.positions)
        fields["segments"][span] = torch.tensor(strip.segments)
        fields["owners"][span] = number
        sequences += [([offset + p for p in starts], next(answers)) for starts in strip.starts]
    for index, item in zip(prompt_strips or [], items, strict=prompt_strips is not None):
        # The first token of a prompt has nothing before it, so it is never scored.
        own = range(offsets[index], offsets[index] + len(item.prompt) - 1 - stem)
        sequences.append(([*range(stem), *own], item.prompt[1:]))
    width = max(len(targets) for _, targets in sequences)
    return Layout(
        kind=kind,
        **{name: field.view(shape) for name, field in fields.items()},
        stem=stem,
        parts=tuple(strip.parts for strip in strips),
        where=torch.tensor([p for predictors, _ in sequences for p in predictors]),
        targets=torch.tensor([t for _, targets in sequences for t in targets]),
        place=torch.tensor([n * width + t for n, (_, s) in enumerate(sequences) for t in range(len(s))]),
        counts=torch.tensor([len(targets) for _, targets in sequences]),
    )


_FILL = {"input_ids": 0, "position_ids": 0, "owners": PADDING, "segments": 0}

Build = Callable[..., Layout]
LAYOUTS: dict[str, Build] = {"plain": plain, "shared": shared, "packed": packed}
