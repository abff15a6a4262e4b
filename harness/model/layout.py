"""Token ids -> rows, and where in them each scored token is predicted: index arithmetic, no masks and no model.

Letters: R rows, L tokens in the longest row, N sequences, T scored tokens in the longest sequence, M scored
tokens in all. Three layouts give the same log-probs:

    plain   one padded row a completion, as every model takes it
    shared  one padded row an item: the prompt once, then its completions, positions restarting after the prompt
    packed  all items end to end in one row, so that nothing is padding either, after the shared prefix: what all
            their prompts begin with (a system's turn, the opening of a chat template), written and computed once

What a token may see is the same rule in all three (`visible`); attention.py turns it into masks or blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import NamedTuple

import torch
from torch import Tensor

SHARED_PREFIX, PADDING = -2, -1  # owners of tokens that are no item's own


class Item(NamedTuple):
    """A prompt with the completions to score after it, as token ids."""

    prompt: Sequence[int]
    completions: Sequence[Sequence[int]]


@dataclass(frozen=True, eq=False)
class Layout:
    """A batch of rows and the places of its scored tokens.

    kind:         "plain", "shared" or "packed".
    input_ids, position_ids: [R, L].
    owners:       [R, L] which item a token belongs to, SHARED_PREFIX for what all share, PADDING for none.
    segments:     [R, L] 0 in the prompt, n in the item's n-th completion.
    shared_prefix: tokens that open every prompt and stand once, at the start of a packed row.
    parts:        for each owner, in order: the lengths of its prompt (after the shared prefix) and of its completions.
    where:        [M] index into R * L of the position that predicts each scored token.
    targets:      [M] the scored tokens.
    place:        [M] index into N * T of each scored token.
    counts:       [N] scored tokens of each sequence: all completions, item by item, then (where asked for) the
                  prompts, item by item.
    """

    kind: str
    input_ids: Tensor
    position_ids: Tensor
    owners: Tensor
    segments: Tensor
    shared_prefix: int
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

    A key is seen from its own item (one of the shared prefix from every item), where it lies in the prompt or
    in the query's own completion, not after the query, and (under a sliding window) less than `window` positions before
    it. Positions count, not places in the row: a completion follows its prompt directly, wherever it is written.
    A padding token sees itself: a softmax over nothing would be NaN.
    """
    query = {name: getattr(layout, name)[:, :, None] for name in ("owners", "segments", "position_ids")}
    key = {name: getattr(layout, name)[:, None, :] for name in query}
    seen = (query["owners"] == key["owners"]) | (key["owners"] == SHARED_PREFIX)
    seen &= query["owners"] != PADDING
    seen &= (key["segments"] == 0) | (key["segments"] == query["segments"])
    distance = query["position_ids"] - key["position_ids"]
    seen &= distance >= 0
    if window is not None:
        seen &= distance < window
    itself = torch.eye(seen.shape[-1], dtype=torch.bool, device=seen.device)
    return (seen | itself).unsqueeze(1)


class _Segment(NamedTuple):
    """Tokens that stand side by side and follow each other: the shared prefix, a prompt after it, or a completion.

    place: index into R * L of the first token; position: its position. owner, number: the item that they belong to,
    and 0 for its prompt or n for its n-th completion.
    """

    ids: Sequence[int]
    place: int
    position: int
    owner: int
    number: int

    @property
    def places(self) -> range:
        return range(self.place, self.place + len(self.ids))


class _Scored(NamedTuple):
    """A sequence to score: its tokens, and the place that predicts each."""

    where: Sequence[int]
    targets: Sequence[int]


def plain(items: Sequence[Item], *, pad: int, with_prompt: bool = False) -> Layout:
    """One row per completion: prompt + completion, padded on the right."""
    single = [Item(item.prompt, [completion]) for item in items for completion in item.completions]
    first = list(accumulate((len(item.completions) for item in items), initial=0))[:-1]
    return _assemble("plain", single, first if with_prompt else [], pad)


def shared(items: Sequence[Item], *, pad: int, with_prompt: bool = False) -> Layout:
    """One row per item, padded on the right: the prompt once, then its completions."""
    return _assemble("shared", items, range(len(items)) if with_prompt else [], pad)


# The packed row is filled up to a multiple of this, so that few distinct shapes occur: kernels are made and
# memory is reused by shape.
MULTIPLE = 64
SHORTEST_PREFIX = 8  # a shorter one saves less than its keys cost, which join those of every item


def packed(items: Sequence[Item], *, pad: int, with_prompt: bool = False) -> Layout:
    """One row for all items, end to end, after what their prompts have in common."""
    shared_prefix = shared_prefix_of([item.prompt for item in items])
    return _assemble("packed", items, range(len(items)) if with_prompt else [], pad, shared_prefix)


def shared_prefix_of(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; each keeps one token at least, which predicts its completions."""
    most = min(map(len, prompts)) - 1 if len(prompts) > 1 else 0
    # What the first and the last in order share, all between them share too.
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))
    common = next((n for n in range(most) if first[n] != last[n]), most)
    return common if common >= SHORTEST_PREFIX else 0


def _assemble(kind: str, items: Sequence[Item], prompts: Sequence[int], pad: int, shared_prefix: int = 0) -> Layout:
    """Writes the items into rows, and lists the scored tokens: each completion's, then those of the prompts of
    `prompts`.

    shared_prefix: tokens that all prompts begin with and that are written once.
    """
    sizes = [len(item.prompt) - shared_prefix + sum(map(len, item.completions)) for item in items]
    shape, starts = _packed_into_one(sizes, shared_prefix) if kind == "packed" else _a_row_each(sizes)
    written = [_segments(items[n], n, start, shared_prefix) for n, start in enumerate(starts)]
    opening = [_Segment(items[0].prompt[:shared_prefix], 0, 0, SHARED_PREFIX, 0)] if shared_prefix else []
    return Layout(
        kind=kind,
        **_fields(shape, pad, [*opening, *chain.from_iterable(written)]),
        shared_prefix=shared_prefix,
        parts=tuple(tuple(len(segment.ids) for segment in segments) for segments in written),
        **_scored_tokens(
            [_scored_completion(prompt, completion) for prompt, *completions in written for completion in completions]
            + [_scored_prompt(items[n], written[n][0], shared_prefix) for n in prompts]
        ),
    )


def _a_row_each(sizes: Sequence[int]) -> tuple[tuple[int, int], list[int]]:
    """Rows and their length, and the place where each item begins."""
    width = max(sizes)
    return (len(sizes), width), [index * width for index in range(len(sizes))]


def _packed_into_one(sizes: Sequence[int], shared_prefix: int) -> tuple[tuple[int, int], list[int]]:
    """As `_a_row_each`: all items end to end, after the shared prefix."""
    *starts, end = accumulate(sizes, initial=shared_prefix)
    return (1, -(-end // MULTIPLE) * MULTIPLE), starts


def _segments(item: Item, owner: int, start: int, shared_prefix: int) -> list[_Segment]:
    """An item from a place on: its prompt after the shared prefix, then its completions, each with its positions."""
    found = [_Segment(item.prompt[shared_prefix:], start, shared_prefix, owner, 0)]
    for number, completion in enumerate(item.completions, start=1):
        found.append(_Segment(completion, found[-1].places.stop, len(item.prompt), owner, number))
    return found


def _scored_completion(prompt: _Segment, completion: _Segment) -> _Scored:
    """The first token of a completion is predicted by the prompt's last, any other by the one before it."""
    return _Scored([prompt.places.stop - 1, *completion.places][: len(completion.ids)], completion.ids)


def _scored_prompt(item: Item, prompt: _Segment, shared_prefix: int) -> _Scored:
    """The first token of a prompt has nothing before it, so it is never scored."""
    return _Scored([*range(shared_prefix), *prompt.places][:-1], item.prompt[1:])


def _fields(shape: tuple[int, int], pad: int, segments: Sequence[_Segment]) -> dict[str, Tensor]:
    """What stands at each place of the rows, [R, L] each."""
    fill = {"input_ids": pad, "position_ids": 0, "owners": PADDING, "segments": 0}
    fields = {name: torch.full(shape, value) for name, value in fill.items()}
    flat = {name: field.view(-1) for name, field in fields.items()}
    for segment in segments:
        span = slice(segment.places.start, segment.places.stop)
        flat["input_ids"][span] = torch.tensor(segment.ids)
        flat["position_ids"][span] = torch.arange(segment.position, segment.position + len(segment.ids))
        flat["owners"][span] = segment.owner
        flat["segments"][span] = segment.number
    return fields


def _scored_tokens(sequences: Sequence[_Scored]) -> dict[str, Tensor]:
    """The scored tokens of all sequences, with their places in rows and in [N, T]."""
    width = max(len(sequence.targets) for sequence in sequences)
    return {
        "where": torch.tensor([place for sequence in sequences for place in sequence.where]),
        "targets": torch.tensor([token for sequence in sequences for token in sequence.targets]),
        "place": torch.tensor([n * width + t for n, s in enumerate(sequences) for t in range(len(s.targets))]),
        "counts": torch.tensor([len(sequence.targets) for sequence in sequences]),
    }


Build = Callable[..., Layout]
LAYOUTS: dict[str, Build] = {"plain": plain, "shared": shared, "packed": packed}
