"""The contract card of a loss: its properties measured by running it, none of them declared.

Sides: "chosen" and "rejected" of a pairwise loss; for a pointwise one, wanted and unwanted completions stand in
their place. Gradients are by a completion's summed log-prob (for token-level losses, by all its tokens together).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from losses.batch import PairBatch, SequenceLogProbs
from losses.checks.probe import Batch, probe, random_examples, random_pairs, with_leaves
from losses.registry import Loss
from losses.rewards import reward

ROWS = 8
CLOSE = 1e-5  # relative; measured in double precision, where roundings are 1e-15
EXTREME_MEANS = (0.0, -1e-8, -1.0, -2000.0)  # nats a token


@dataclass(frozen=True)
class Range:
    """The smallest and the largest of several numbers; equal where a property is one number."""

    low: float
    high: float

    @property
    def is_constant(self) -> bool:
        """Whether the two differ by rounding alone."""
        return self.high - self.low <= CLOSE * max(abs(self.low), abs(self.high), CLOSE)


@dataclass(frozen=True)
class Card:
    """What a loss does at its defaults.

    reads:             "sums", "means" or "neither alone" of token log-probs: does the value survive a change of
                       counts at equal sums, or of sums and counts together.
    start_value:       its value where policy equals reference.
    start_pull:        minus its gradient there on chosen (wanted) completions: above 0 raises them.
    start_push:        its gradient there on rejected (unwanted) completions: above 0 lowers them.
    largest_value, largest_gradient: absolute, over extreme log-probs; inf or NaN if not finite.
    difference_only:   adding the same to the loss's own reward of both completions changes nothing; None for
                       single completions.
    swap_slope:        value minus the value with both completions swapped, per nat of the margin in its own
                       reward; None where that is no constant, or for single completions.
    shift_invariant:   adding the same to policy and reference changes nothing; None without a reference.
    couples:           a row's value or gradient depends on the rows beside it, through an order, a state or
                       random numbers drawn by place.
    """

    reads: str
    start_value: Range
    start_pull: Range
    start_push: Range
    largest_value: float
    largest_gradient: float
    difference_only: bool | None
    swap_slope: float | None
    shift_invariant: bool | None
    couples: bool


class Forces(NamedTuple):
    """pull, push: [n] what raises wanted completions and what lowers unwanted ones, per nat."""

    pull: Tensor
    push: Tensor


class Peak(NamedTuple):
    """The largest absolute value and gradient."""

    value: float
    gradient: float


def card(loss: Loss) -> Card:
    """The card of a loss, from about a dozen calls on small batches in double precision.

    Raises: ValueError where the loss does not pass the probe at its defaults.
    """
    probe(loss, {})
    start = _example(loss, equal=True)
    batch = _example(loss)
    forces = _forces(loss, start)
    peak = _largest(loss)
    return Card(
        reads=_reads(loss, batch),
        start_value=_range(_values(loss, start)),
        start_pull=_range(forces.pull),
        start_push=_range(forces.push),
        largest_value=peak.value,
        largest_gradient=peak.gradient,
        difference_only=_is_difference_only(loss, batch) if isinstance(batch, PairBatch) else None,
        swap_slope=_swap_slope(loss, batch) if isinstance(batch, PairBatch) else None,
        shift_invariant=_is_shift_invariant(loss, batch) if "reference" in loss.needs else None,
        couples=_couples(loss, batch),
    )


def _example(loss: Loss, equal: bool = False) -> Batch:
    """Random rows in double precision, of completions with unequal numbers of tokens."""
    make = random_pairs if loss.kind == "pairwise" else random_examples
    return _mapped(make(ROWS, seed=0, needs=loss.needs, equal=equal), lambda name, side: _changed(side))


def _mapped(batch: Batch, change: Callable[[str, SequenceLogProbs], SequenceLogProbs]) -> Batch:
    """The batch with change(name, side) in the place of every sequence, policy before reference."""
    names = ("chosen", "rejected", "policy", "ref_chosen", "ref_rejected", "reference", "prompt")
    present = {name: getattr(batch, name, None) for name in names}
    changed: dict[str, Any] = {name: change(name, side) for name, side in present.items() if side is not None}
    return replace(batch, **changed)


def _changed(
    side: SequenceLogProbs, *, scale: float = 1.0, shift: Tensor | float = 0.0, repeat: int = 1
) -> SequenceLogProbs:
    """Sums times `scale` plus `shift` [N], over `repeat` times as many tokens; in double precision."""
    count = repeat * side.count
    stats = {name: values.double().repeat_interleave(repeat, dim=1) for name, values in (side.stats or {}).items()}
    if side.tokens is None or side.mask is None:
        return SequenceLogProbs(total=scale * side.total.double() + shift, count=count, stats=stats or None)
    per_token = torch.as_tensor(shift / count, dtype=torch.float64)[:, None]
    tokens = scale / repeat * side.tokens.double().repeat_interleave(repeat, dim=1) + per_token
    mask = side.mask.repeat_interleave(repeat, dim=1)
    return SequenceLogProbs.from_tokens(tokens, mask, stats or None)


def _values(loss: Loss, batch: Batch) -> Tensor:
    """[N] with a fresh state and generator, so that two calls are comparable."""
    fresh = replace(batch, state={}, generator=torch.Generator().manual_seed(0))
    return loss.fn(fresh, **loss.defaults).detach()


def _gradients(loss: Loss, batch: Batch) -> list[Tensor]:
    """[N] each: the gradient of the summed loss by every policy side, the tokens of a completion averaged."""
    rooted = with_leaves(replace(batch, state={}, generator=torch.Generator().manual_seed(0)))
    value = loss.fn(rooted.batch, **loss.defaults).sum()
    slopes = torch.autograd.grad(value, rooted.leaves, allow_unused=True, materialize_grads=True)
    sides = [batch.chosen, batch.rejected] if isinstance(batch, PairBatch) else [batch.policy]
    # One nat more for a completion is 1/n nats more for each of its n tokens.
    return [s if s.dim() == 1 else s.sum(-1) / side.count for s, side in zip(slopes, sides, strict=False)]


def _forces(loss: Loss, batch: Batch) -> Forces:
    slopes = _gradients(loss, batch)
    if isinstance(batch, PairBatch):
        return Forces(-slopes[0], slopes[1])
    return Forces(-slopes[0][batch.desirable], slopes[0][~batch.desirable])


def _reads(loss: Loss, batch: Batch) -> str:
    """Counts tripled at equal sums, then sums and counts tripled together."""
    before = _values(loss, batch)
    longer = _mapped(batch, lambda name, side: _changed(side, repeat=3))
    larger = _mapped(batch, lambda name, side: _changed(side, scale=3.0, repeat=3))
    sums, means = _equal(before, _values(loss, longer)), _equal(before, _values(loss, larger))
    return {(True, False): "sums", (False, True): "means"}.get((sums, means), "neither alone")


def _largest(loss: Loss) -> Peak:
    """Over all combinations of extreme means under both models, completions of one token; float32 as in training."""
    grid = torch.cartesian_prod(*[torch.tensor(EXTREME_MEANS)] * 4)
    names = ("chosen", "rejected", "ref_chosen", "ref_rejected", "policy", "reference", "prompt")
    column = dict(zip(names, (0, 1, 2, 3, 0, 1, 1), strict=True))

    def one_token(name: str, side: SequenceLogProbs) -> SequenceLogProbs:
        tokens = grid[:, column[name], None]
        stats = {statistic: tokens.clamp(min=-10.0) for statistic in side.stats or {}}
        if side.tokens is None:
            count = torch.ones(len(grid), dtype=torch.long)
            return SequenceLogProbs(total=tokens[:, 0], count=count, stats=stats or None)
        return SequenceLogProbs.from_tokens(tokens, torch.ones_like(tokens, dtype=torch.bool), stats or None)

    batch = _mapped(_example(loss).index(torch.arange(len(grid)) % ROWS), one_token)
    values, gradients = _values(loss, batch), torch.stack(_gradients(loss, batch))
    return Peak(float(values.abs().max()), float(gradients.abs().max()))


def _is_shift_invariant(loss: Loss, batch: Batch) -> bool:
    """3 nats more for a completion under both models; other amounts for the other completion."""
    shifts = {"chosen": 3.0, "ref_chosen": 3.0, "rejected": -2.0, "ref_rejected": -2.0, "policy": 3.0, "reference": 3.0}
    moved = _mapped(batch, lambda name, side: _changed(side, shift=shifts.get(name, 0.0) + 0.0 * side.count))
    return _equal(_values(loss, batch), _values(loss, moved))


def _is_difference_only(loss: Loss, batch: Batch) -> bool:
    """Half a nat (a token, where the reward is a mean) more for both completions under the policy."""
    per_token = loss.reward in ("mean_log_ratio", "mean_log_prob", "log_odds")

    def shift(name: str, side: SequenceLogProbs) -> SequenceLogProbs:
        if name not in ("chosen", "rejected"):
            return side
        amount = 0.5 * (side.count if per_token else torch.ones_like(side.total))
        return _changed(side, shift=amount)

    return _equal(_values(loss, batch), _values(loss, _mapped(batch, shift)))


def _swap_slope(loss: Loss, batch: PairBatch) -> float | None:
    batch = replace(
        batch,
        chosen=_spread(batch.chosen, batch.ref_chosen),
        rejected=_spread(batch.rejected, batch.ref_rejected),
    )
    swapped = replace(
        batch,
        chosen=batch.rejected,
        rejected=batch.chosen,
        ref_chosen=batch.ref_rejected,
        ref_rejected=batch.ref_chosen,
    )
    margin = reward(loss.reward, batch.chosen, batch.ref_chosen)
    margin = margin - reward(loss.reward, batch.rejected, batch.ref_rejected)
    slopes = _range((_values(loss, batch) - _values(loss, swapped)) / margin.detach())
    return slopes.low if slopes.is_constant else None


def _spread(policy: SequenceLogProbs, reference: SequenceLogProbs | None) -> SequenceLogProbs:
    """Log-ratios twenty times as far, of both signs, so that hinges and saturations show."""
    if reference is None:
        return _changed(policy, scale=4.0)
    return _changed(policy, shift=19.0 * (policy.total - reference.total).detach())


def _couples(loss: Loss, batch: Batch) -> bool:
    """Whole against halves, in value and gradient."""
    halves = [batch.index(slice(0, ROWS // 2)), batch.index(slice(ROWS // 2, ROWS))]
    apart = torch.cat([_values(loss, half) for half in halves])
    slopes = [torch.cat(parts) for parts in zip(*(_gradients(loss, half) for half in halves), strict=True)]
    whole = zip(_gradients(loss, batch), slopes, strict=True)
    return not (_equal(_values(loss, batch), apart) and all(_equal(one, other) for one, other in whole))


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=CLOSE, atol=1e-9)


def _range(values: Tensor) -> Range:
    return Range(float(values.min()), float(values.max()))


def letters(loss: Loss) -> str:
    """The legend of the formula: the paragraph "Letters: ..." at the top of the loss's file."""
    module = inspect.getmodule(loss.fn)
    return _paragraph(inspect.getdoc(module) if module and not loss.parts else "", "Letters:")


def conventions(loss: Loss) -> str:
    """Where public implementations differ: the paragraph "Conventions: ..." of the loss's docstring."""
    return _paragraph(inspect.getdoc(loss.fn) if not loss.parts else "", "Conventions:")


def _paragraph(text: str | None, start: str) -> str:
    """The paragraph that begins with a word, on one line and without the word; empty where there is none."""
    found = [" ".join(part.split()) for part in (text or "").split("\n\n") if part.startswith(start)]
    return found[0].removeprefix(start).strip() if found else ""
