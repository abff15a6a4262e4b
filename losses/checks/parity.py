"""Our losses beside those of other libraries on one fixed set of log-probs: who computes the same?

What the libraries compute is in `parity_trl` and `parity_peers`; here are the set, how it is read, and what counts
as the same. A peer is compared as it trains: the mean over micro-batches of what it computes in each.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from losses.batch import ExampleBatch, PairBatch, SequenceLogProbs
from losses.registry import Loss, get

Batch = PairBatch | ExampleBatch
Held = TypeVar("Held")

VALUE_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-6  # absolute below 1, relative above

PAIRS, POSITIONS, PAIRS_A_MICRO_BATCH = 4, 5, 2
CHOSEN_COUNTS, REJECTED_COUNTS, PROMPT_COUNTS = (5, 2, 4, 1), (3, 4, 2, 5), (2, 3, 1, 2)
# Summed log-ratios of mismatched completions (nats), two for each pair: their mean is 4 in the first micro-batch,
# -2.5 in the second and 0.75 over both, so a clamped mean differs between all three.
MISMATCHED = (6.0, -1.0, 3.0, 8.0, -4.0, -2.0, 1.0, -5.0)

# Name of a case -> nats per token of the first chosen completion there; None leaves it as it is.
ORDINARY = "the fixed set"
START = "policy == reference"
EDGES = {START: None, "a chosen answer at -1e-8 nats a token": -1e-8, "a chosen answer at -400 nats a token": -400.0}


@dataclass(frozen=True)
class Peer:
    """A loss as another library computes it.

    ours:      name of our loss that it stands beside.
    library:   one of `parity_peers.LIBRARIES`.
    called:    what a user of the library asks for to get it.
    fn:        `fn(batch, **settings) -> scalar` on one micro-batch; the keyword defaults are the library's. The
               `kl` of an ExampleBatch is the mean mismatched log-ratio of that micro-batch, not clamped.
    source:    the file that was read; its version is the library's.
    settings:  our hyper-parameters -> its settings, where its names or meanings differ.
    why:       how it differs from ours; empty where it is the same.
    as_it_comes: what else differs while the library's own defaults are left alone; empty where nothing does.
    pairs:     pairs in a micro-batch, 0 for a loss that the library averages over the optimizer batch.
    """

    ours: str
    library: str
    called: str
    fn: Callable[..., Tensor]
    source: str
    settings: Callable[[Mapping[str, float]], dict[str, float]] = lambda ours: {}
    why: str = ""
    as_it_comes: str = ""
    pairs: int = PAIRS_A_MICRO_BATCH

    def settings_like(self, ours: Mapping[str, float]) -> dict[str, float]:
        """Its settings at our hyper-parameters: equal names carry over, `settings` says the rest."""
        names = inspect.signature(self.fn).parameters
        return {name: value for name, value in ours.items() if name in names} | self.settings(ours)


class Reading(NamedTuple):
    """value: of the batch; gradients: [N, T] each, with respect to the token log-probs of a policy side."""

    value: float
    gradients: tuple[Tensor, ...]

    @property
    def has_no_value(self) -> bool:
        """Whether the value is infinite or NaN."""
        return not math.isfinite(self.value)

    @property
    def is_finite(self) -> bool:
        """Whether the value and every gradient are finite."""
        return not self.has_no_value and all(bool(g.isfinite().all()) for g in self.gradients)

    def gap_to(self, other: Reading) -> float:
        """The largest difference of a gradient."""
        pairs = zip(self.gradients, other.gradients, strict=True)
        return max(float((a - b).abs().max()) for a, b in pairs)

    def equals(self, other: Reading) -> bool:
        """Values and gradients agree within the tolerances; what is not finite agrees with nothing."""
        scale = max(1.0, *(float(g.abs().max()) for g in self.gradients))
        near = abs(self.value - other.value) <= VALUE_TOLERANCE * max(1.0, abs(self.value))
        return near and self.gap_to(other) <= GRADIENT_TOLERANCE * scale


@dataclass(frozen=True)
class Parity:
    """A peer beside our loss, both at our default hyper-parameters.

    whole:       the peer when the whole batch is one micro-batch.
    as_it_comes: the peer at the library's own defaults.
    breaks:      case -> the peer's reading, for the edge cases in which ours is finite and the peer's is not.
    """

    peer: Peer
    ours: Reading
    theirs: Reading
    whole: Reading
    as_it_comes: Reading
    breaks: Mapping[str, Reading]

    @property
    def is_same(self) -> bool:
        """Whether the peer computes what ours does, at our hyper-parameters."""
        return self.ours.equals(self.theirs)


def compare(peer: Peer) -> Parity:
    """Compute our loss and the peer's on the fixed set and in the edge cases."""
    loss = get(peer.ours)
    settings = peer.settings_like(loss.defaults)
    theirs = read_peer(peer, loss, settings)
    is_split = peer.pairs == PAIRS_A_MICRO_BATCH
    breaks = {}
    for case in EDGES:
        there = read_peer(peer, loss, settings, case=case)
        if not there.is_finite and read_ours(loss, case=case).is_finite:
            breaks[case] = there
    return Parity(
        peer,
        ours=read_ours(loss),
        theirs=theirs,
        whole=read_peer(replace(peer, pairs=0), loss, settings) if is_split else theirs,
        as_it_comes=read_peer(peer, loss, {}),
        breaks=breaks,
    )


def read_ours(loss: Loss, *, case: str = ORDINARY) -> Reading:
    """Our loss at its defaults, as the trainer averages it."""
    fixed = fixed_set(loss, case)
    batch = fixed.batch
    if isinstance(batch, ExampleBatch) and "mismatched" in loss.needs:
        batch = replace(batch, kl=torch.tensor(MISMATCHED).mean().clamp(min=0.0))
    return _read(loss.fn(batch, **loss.defaults).mean(), fixed.leaves)


def read_peer(peer: Peer, loss: Loss, settings: Mapping[str, float], *, case: str = ORDINARY) -> Reading:
    """The peer's loss with these settings, averaged over its micro-batches."""
    fixed = fixed_set(loss, case)
    step = (peer.pairs or PAIRS) * len(fixed.batch) // PAIRS
    values = []
    for start in range(0, len(fixed.batch), step):
        rows = slice(start, start + step)
        part = fixed.batch.index(rows)
        if isinstance(part, ExampleBatch) and "mismatched" in loss.needs:
            part = replace(part, kl=torch.tensor(MISMATCHED[rows]).mean())
        values.append(peer.fn(part, **settings))
    return _read(torch.stack(values).mean(), fixed.leaves)


def _read(value: Tensor, leaves: tuple[Tensor, ...]) -> Reading:
    gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return Reading(float(value.detach()), tuple(gradients))


def held(value: Held | None) -> Held:
    """What the fixed set always carries, though a batch need not: a reference, a prompt, token log-probs.

    Raises: ValueError where it is missing.
    """
    if value is None:
        raise ValueError("a peer reads what the batch does not carry; give it the fixed set of losses.checks.parity.")
    return value


class Fixed(NamedTuple):
    """batch: the fixed set; leaves: the policy's token log-probs [N, T] (nats) in it."""

    batch: Batch
    leaves: tuple[Tensor, ...]


def fixed_set(loss: Loss, case: str = ORDINARY) -> Fixed:
    """The fixed set as `loss` takes it: pairs, or their completions one by one (chosen, rejected, chosen ...)."""
    chosen, rejected = _nats(PAIRS, 4, 3), _nats(PAIRS, 10, 17)
    moved = 0.0 if case == START else 1.0
    ref_chosen, ref_rejected = chosen + moved * _drift(0), rejected + moved * _drift(1)
    nats = EDGES.get(case)
    if nats is not None:
        chosen[0] = nats
    statistics = [need.removeprefix("stats:") for need in loss.needs if need.startswith("stats:")]
    if loss.kind == "pairwise":
        leaves = tuple(side.requires_grad_() for side in (chosen, rejected, _nats(PAIRS, 3, 1)))
        sides = [_side(leaf, counts, statistics) for leaf, counts in zip(leaves, _COUNTS, strict=True)]
        pairs = PairBatch(
            chosen=sides[0],
            rejected=sides[1],
            ref_chosen=_side(ref_chosen, CHOSEN_COUNTS, []),
            ref_rejected=_side(ref_rejected, REJECTED_COUNTS, []),
            prompt=sides[2],
            state={},
        )
        return Fixed(pairs, leaves)
    leaf = _interleaved(chosen, rejected).requires_grad_()
    counts = tuple(count for both in zip(CHOSEN_COUNTS, REJECTED_COUNTS, strict=True) for count in both)
    reference = _side(_interleaved(ref_chosen, ref_rejected), counts, [])
    desirable = torch.arange(2 * PAIRS) % 2 == 0
    return Fixed(ExampleBatch(_side(leaf, counts, statistics), reference, desirable, state={}), (leaf,))


_COUNTS = (CHOSEN_COUNTS, REJECTED_COUNTS, PROMPT_COUNTS)


def _nats(rows: int, step: int, offset: int) -> Tensor:
    """[rows, POSITIONS] log-probs between -3.5 and -0.75 nats, exact in fp32."""
    places = torch.arange(rows * POSITIONS).reshape(rows, POSITIONS)
    return -((places * step + offset) % 23 + 6) / 8.0


def _drift(offset: int) -> Tensor:
    """[PAIRS, POSITIONS] nats between -3.8 and 0.7 by which the reference differs, never 0."""
    places = torch.arange(PAIRS * POSITIONS).reshape(PAIRS, POSITIONS)
    return 0.7 - 0.45 * ((places * 7 + offset) % 11)


def _side(tokens: Tensor, counts: tuple[int, ...], statistics: list[str]) -> SequenceLogProbs:
    mask = torch.arange(POSITIONS) < torch.tensor(counts)[:, None]
    stats = {name: _nats(len(tokens), 4, 2) for name in statistics}
    return SequenceLogProbs.from_tokens(tokens, mask, stats or None)


def _interleaved(chosen: Tensor, rejected: Tensor) -> Tensor:
    """[2 * PAIRS, POSITIONS] rows of both by turns."""
    return torch.stack([chosen, rejected], dim=1).flatten(0, 1)
