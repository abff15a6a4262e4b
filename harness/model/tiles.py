"""Attention over a packed row on a CPU: block by block, computing (nearly) only what may be seen.

A packed row is mostly blocks that no token may see: other items, the other completion, what comes later. Dense
masked attention computes them all, and the CPU's fused kernel is slow in bf16 at these sizes: on 9 rows of
221 tokens (9 heads of 64) forward and backward took 27.8 ms in it and 9.6 ms as three matrix products with
a softmax between them. So each item is cut into pieces, and each piece is one small dense attention over the
pieces that it may see: short items are one piece, long ones are cut so that the work follows what is visible.
The shared prefix, which every item sees, is the first piece.

Letters: K key-value heads, G query heads for each of them, H = K * G, T tokens of the row, D size of a head,
n queries and m keys of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.modeling_utils import AttentionInterface

from harness.model.layout import Layout

NAME = "packed_tiles"  # under which transformers finds the attention function

# Items up to WHOLE tokens are one piece: a few masked scores cost less than more, smaller products.
WHOLE = 384
PIECE = 256


class Piece(NamedTuple):
    """A run of tokens of one segment, or a whole short item."""

    tokens: int
    keys: tuple[int, ...]  # the pieces that it may see (itself last)


@dataclass(frozen=True, eq=False)
class Plan:
    """How a packed row is cut; masks are made once and serve every layer.

    positions, segments: for each piece, of its tokens.
    """

    pieces: tuple[Piece, ...]
    positions: tuple[Tensor, ...]
    segments: tuple[Tensor, ...]
    _biases: dict[Any, Tensor] = field(default_factory=dict)

    def keys(self, index: int, window: int | None) -> tuple[int, ...]:
        """The pieces that piece `index` sees, without those wholly outside the window."""
        keys = self.pieces[index].keys
        if window is None:
            return keys
        first = int(self.positions[index][0])
        return tuple(key for key in keys if first - int(self.positions[key][-1]) < window or key == index)

    def bias(self, index: int, window: int | None, groups: int, dtype: torch.dtype) -> Tensor:
        """[1, G*n, m]: 0 where a key may be seen and -inf where not."""
        name = (index, window, groups, dtype)
        if name not in self._biases:
            seen = self.keys(index, window)
            segment, position = self.segments[index][:, None], self.positions[index][:, None]
            key_segment = torch.cat([self.segments[key] for key in seen])
            distance = position - torch.cat([self.positions[key] for key in seen])
            allowed = ((key_segment == 0) | (key_segment == segment)) & (distance >= 0)
            if window is not None:
                allowed &= distance < window
            bias = torch.zeros(allowed.shape, dtype=dtype).masked_fill_(~allowed, -torch.inf)
            self._biases[name] = bias.repeat(groups, 1).unsqueeze(0)
        return self._biases[name]


def plan(layout: Layout) -> Plan:
    """Cuts a packed row into pieces."""
    positions, segments = layout.position_ids[0].cpu(), layout.segments[0].cpu()
    pieces = list(_runs(layout.shared_prefix, 0, ()))
    shared_prefix = tuple(range(len(pieces)))
    for parts in layout.parts:
        pieces += _pieces(parts, len(pieces), shared_prefix)
    sizes = [piece.tokens for piece in pieces]
    padding = layout.tokens - sum(sizes)
    return Plan(
        tuple(pieces), positions.split([*sizes, padding])[: len(sizes)], segments.split([*sizes, padding])[: len(sizes)]
    )


def _pieces(parts: Sequence[int], first: int, shared_prefix: tuple[int, ...]) -> list[Piece]:
    """The pieces of one item, numbered from `first`: a piece of the prompt sees the shared prefix and the prompt so
    far, one of a completion the shared prefix, the whole prompt and the completion so far."""
    if sum(parts) <= WHOLE:
        return [Piece(sum(parts), (*shared_prefix, first))]
    pieces = list(_runs(parts[0], first, shared_prefix))
    prompt = (*shared_prefix, *range(first, first + len(pieces)))
    for length in parts[1:]:
        pieces += _runs(length, first + len(pieces), prompt)
    return pieces


def _runs(length: int, first: int, before: tuple[int, ...]) -> Iterator[Piece]:
    """One segment in pieces numbered from `first`; each sees the pieces `before`, its own so far and itself."""
    for number, start in enumerate(range(0, length, PIECE), start=first):
        yield Piece(min(PIECE, length - start), (*before, *range(first, number + 1)))


_current: ContextVar[Plan] = ContextVar("tiles")


@contextmanager
def attending(layout: Layout) -> Iterator[None]:
    """Within the block, attention under `NAME` is over this packed row."""
    token = _current.set(plan(layout))
    try:
        yield
    finally:
        _current.reset(token)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' attention function: query [1, H, T, D], key and value [1, K, T, D] -> [1, T, H, D].

    softcap: s -> softcap * tanh(s / softcap) on the scores (Gemma 2, arXiv:2408.00118 section 2).

    Raises: ValueError for a kind of attention that is not this one (the self-check then falls back).
    """
    unknown = [name for name in ("s_aux", "position_bias", "sinks") if others.get(name) is not None]
    if unknown or attention_mask is not None or query.shape[0] != 1:
        raise ValueError(f"packed attention takes no {', '.join(unknown) or 'mask and no batch'}")
    tiles, groups = _current.get(), query.shape[1] // key.shape[1]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    sizes = [piece.tokens for piece in tiles.pieces]
    padding = query.shape[2] - sum(sizes)
    # Autocast would raise the scores to fp32 and cast the matrices once more; the products are in the type
    # of the values (bf16 in bf16 training), sums inside them in fp32.
    with torch.autocast(query.device.type, enabled=False):
        dtype = value.dtype
        queries = query[0].to(dtype).unflatten(0, (key.shape[1], groups)).split([*sizes, padding], 2)
        keys, values = (x[0].to(dtype).split([*sizes, padding], 1) for x in (key, value))
        outputs = []
        for index in range(len(sizes)):
            seen = tiles.keys(index, sliding_window)
            bias = tiles.bias(index, sliding_window, groups, dtype)
            outputs.append(_attend(queries[index], _joined(keys, seen), _joined(values, seen), bias, scale, softcap))
        outputs.append(query.new_zeros(padding, query.shape[1], query.shape[3], dtype=dtype))
        return torch.cat(outputs).unsqueeze(0), None


def _joined(pieces: Sequence[Tensor], chosen: Sequence[int]) -> Tensor:
    return pieces[chosen[0]] if len(chosen) == 1 else torch.cat([pieces[i] for i in chosen], 1)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float, softcap: float | None) -> Tensor:
    """query [K, G, n, D], key and value [K, m, D] -> [n, H, D]."""
    heads, groups, count, size = query.shape
    flat = query.reshape(heads, groups * count, size)
    if softcap is None:
        scores = torch.baddbmm(bias.expand(heads, -1, -1), flat, key.transpose(1, 2), alpha=scale)
    else:
        scores = torch.tanh(torch.bmm(flat, key.transpose(1, 2)) * (scale / softcap)) * softcap + bias
    output = torch.bmm(scores.softmax(-1), value)
    return output.view(heads * groups, count, size).transpose(0, 1)


AttentionInterface.register(NAME, attention)
