"""Trying a loss on random log-probs before a sweep: does it keep the promises of its registration?

The random batches are also the material of the contract tests. They hold only what the loss declares in
`needs`, so a loss that reads more fails here and not hours later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from losses.batch import ExampleBatch, PairBatch, SequenceLogProbs
from losses.hyperparameters import check_hyperparameters
from losses.registry import Loss, LossFunction

Batch = PairBatch | ExampleBatch

ROWS = 8
POSITIONS = 12
# Rows enter the gradient with unequal weights: under a plain sum, influences between rows can cancel out.
ROW_WEIGHTS = torch.linspace(1.0, 2.0, ROWS)
# Vectorised and scalar kernels differ in the last digits; a coupled loss differs in the first.
RELATIVE, ABSOLUTE = 1e-4, 1e-6


class _Outcome(NamedTuple):
    """values: [N]; gradients: one tensor with N rows for each log-prob tensor of the policy; state: what it kept."""

    values: Tensor
    gradients: tuple[Tensor, ...]
    state: Mapping[str, Any]


def probe(loss: Loss, hyperparameters: Mapping[str, float], *, seed: int = 0) -> None:
    """Check a loss on random log-probs of ordinary size.

    Raises: ValueError where the loss fails, does not return a finite [N], has no gradient or one that is
    not finite, lets examples influence each other or keeps a state without declaring batch_coupled, keeps
    in its state what a checkpoint cannot hold, or has terms that do not add up to it.
    """
    whole = _require_trainable(loss, hyperparameters, seed)
    values, batch = check_hyperparameters(loss, hyperparameters), _random_batch(loss, seed)
    if not loss.batch_coupled:
        _require_independent_rows(loss, batch, values, whole, seed)
    _require_lasting_state(loss, whole.state)
    _require_terms_add_up(loss, batch, values, whole.values)


def probe_settings(loss: Loss, hyperparameters: Mapping[str, float]) -> None:
    """The part of `probe` that depends on the settings, in a tenth of its time: finite values and gradients.

    Raises: ValueError as `probe`.
    """
    _require_trainable(loss, hyperparameters, seed=0)


def _require_trainable(loss: Loss, hyperparameters: Mapping[str, float], seed: int) -> _Outcome:
    """Values and gradients on a random batch, finite and not all 0. Raises: ValueError."""
    values = check_hyperparameters(loss, hyperparameters)
    batch = _random_batch(loss, seed)
    whole = _evaluate(loss, batch, values, seed, ROW_WEIGHTS)
    if not whole.values.isfinite().all():
        raise ValueError(f"loss {loss.name!r} returns {_first_bad(whole.values)} on ordinary log-probs.")
    for gradient in whole.gradients:
        if not gradient.isfinite().all():
            raise ValueError(
                f"loss {loss.name!r} has the gradient {_first_bad(gradient)} on ordinary log-probs; where "
                "torch.where picks a branch, mask the inputs of the other one."
            )
    if not any(bool(gradient.any()) for gradient in whole.gradients):
        raise ValueError(
            f"loss {loss.name!r} has no gradient with respect to the policy's log-probs; "
            "look for a .detach(), a constant, or a comparison in place of a smooth function."
        )
    return whole


def random_pairs(n: int, *, seed: int, needs: Iterable[str] = frozenset(), equal: bool = False) -> PairBatch:
    """A PairBatch of n random pairs that carries what `needs` names; policy log-probs have gradients.

    equal=True gives the reference the policy's own log-probs, as at step 0 of a training.
    """
    needs = frozenset(needs)
    generator = torch.Generator().manual_seed(seed)
    chosen = _random_sequences(n, needs, generator)
    rejected = _random_sequences(n, needs, generator)
    with_reference = "reference" in needs
    return PairBatch(
        chosen=chosen,
        rejected=rejected,
        ref_chosen=_reference_of(chosen, generator, equal) if with_reference else None,
        ref_rejected=_reference_of(rejected, generator, equal) if with_reference else None,
        prompt=_random_sequences(n, needs, generator) if "prompt" in needs else None,
        step=3,
        max_steps=10,
        scores=5.0 * torch.rand(n, 2, generator=generator) if "scores" in needs else None,
        generator=torch.Generator().manual_seed(seed),
        state={},
    )


def random_examples(n: int, *, seed: int, needs: Iterable[str] = frozenset(), equal: bool = False) -> ExampleBatch:
    """An ExampleBatch of n random completions, every other one desirable; otherwise as `random_pairs`.

    With "mismatched" in needs, kl is 0.5 nats, or 0 where equal=True.
    """
    needs = frozenset(needs)
    generator = torch.Generator().manual_seed(seed)
    policy = _random_sequences(n, needs, generator)
    return ExampleBatch(
        policy=policy,
        reference=_reference_of(policy, generator, equal) if "reference" in needs else None,
        desirable=torch.arange(n) % 2 == 0,
        kl=torch.tensor(0.0 if equal else 0.5) if "mismatched" in needs else None,
        prompt=_random_sequences(n, needs, generator) if "prompt" in needs else None,
        step=3,
        max_steps=10,
        scores=5.0 * torch.rand(n, generator=generator) if "scores" in needs else None,
        generator=torch.Generator().manual_seed(seed),
        state={},
    )


def _random_sequences(n: int, needs: frozenset[str], generator: torch.Generator) -> SequenceLogProbs:
    """n completions of 1 to POSITIONS tokens, each token at -6 to 0 nats."""
    tokens = (-6.0 * torch.rand(n, POSITIONS, generator=generator)).requires_grad_()
    count = torch.randint(1, POSITIONS + 1, (n, 1), generator=generator)
    mask = torch.arange(POSITIONS) < count
    names = sorted(need.removeprefix("stats:") for need in needs if need.startswith("stats:"))
    stats = {name: _random_statistic(name, tokens, generator) for name in names}
    full = SequenceLogProbs.from_tokens(tokens, mask, stats or None)
    return full if "tokens" in needs else replace(full, tokens=None, mask=None)


def _random_statistic(name: str, tokens: Tensor, generator: torch.Generator) -> Tensor:
    """[N, T] numbers that a per-token statistic of that name could hold; between 0 and 1 for an unknown one."""
    values = torch.rand(tokens.shape, generator=generator)
    # A sum of squared probabilities lies between the square of the token's own probability and 1.
    return 2.0 * tokens.detach() * values if name == "log_sum_p2" else values


def _reference_of(policy: SequenceLogProbs, generator: torch.Generator, equal: bool) -> SequenceLogProbs:
    """The policy's log-probs without gradient, up to half a nat a token away where not equal; no statistics."""
    if policy.tokens is not None and policy.mask is not None:
        noise = torch.rand(policy.tokens.shape, generator=generator) - 0.5
        tokens = policy.tokens.detach() + (0.0 if equal else 1.0) * noise
        return SequenceLogProbs.from_tokens(tokens, policy.mask)
    noise = (torch.rand(len(policy), generator=generator) - 0.5) * policy.count
    total = policy.total.detach() + (0.0 if equal else 1.0) * noise
    return SequenceLogProbs(total=total, count=policy.count)


def _random_batch(loss: Loss, seed: int) -> Batch:
    make = random_pairs if loss.kind == "pairwise" else random_examples
    return make(ROWS, seed=seed, needs=loss.needs)


def _evaluate(loss: Loss, batch: Batch, values: Mapping[str, float], seed: int, weights: Tensor) -> _Outcome:
    """Values and gradients of the loss summed with `weights` [N], with a fresh state and generator."""
    state: dict[str, Any] = {}
    batch = replace(batch, state=state, generator=torch.Generator().manual_seed(seed))
    batch, inputs = with_leaves(batch)
    result = _call(loss, loss.fn, batch, values)
    if not result.requires_grad:
        return _Outcome(result, tuple(torch.zeros_like(tensor) for tensor in inputs), state)
    gradients = torch.autograd.grad(
        (weights * result).sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return _Outcome(result.detach(), tuple(gradients), state)


def _call(loss: Loss, fn: LossFunction, batch: Batch, values: Mapping[str, float]) -> Tensor:
    """`fn` on the batch, required to be a floating-point [N]. Raises: ValueError."""
    try:
        result = fn(batch, **values)
    except Exception as error:  # a user's code may raise anything
        raise ValueError(
            f"loss {loss.name!r} fails on random log-probs: {type(error).__name__}: {error} "
            f"The batch held what the loss declares: needs={set(loss.needs) or '{}'}."
        ) from error
    if not isinstance(result, Tensor) or not result.is_floating_point():
        seen = result.dtype if isinstance(result, Tensor) else type(result).__name__
        raise ValueError(f"loss {loss.name!r} returns {seen}, allowed: a floating-point tensor [N].")
    if result.shape != (len(batch),):
        raise ValueError(
            f"loss {loss.name!r} returns shape {tuple(result.shape)} for {len(batch)} examples, allowed: "
            f"({len(batch)},). Return one value per example; the trainer takes the mean."
        )
    return result


class Rooted(NamedTuple):
    """A batch whose policy log-probs are leaves, and these leaves, side by side."""

    batch: Batch
    leaves: list[Tensor]


def with_leaves(batch: Batch) -> Rooted:
    """The batch on fresh leaves: each policy side's token log-probs, or its sums where it has no tokens.

    Sums are made from the tokens anew, so a gradient by token holds what a loss reads of either.
    """
    sides = ("chosen", "rejected", "prompt") if isinstance(batch, PairBatch) else ("policy", "prompt")
    changed, leaves = {}, []
    for name in sides:
        side = getattr(batch, name)
        if side is None:
            continue
        leaf = (side.total if side.tokens is None else side.tokens).detach().clone().requires_grad_()
        leaves.append(leaf)
        if side.tokens is None:
            changed[name] = replace(side, total=leaf)
        else:
            changed[name] = SequenceLogProbs.from_tokens(leaf, side.mask, side.stats)
    return Rooted(replace(batch, **changed), leaves)


def _require_independent_rows(
    loss: Loss, batch: Batch, values: Mapping[str, float], whole: _Outcome, seed: int
) -> None:
    """The whole batch, its halves and its single rows must give the same values and gradients. Raises: ValueError."""
    for size in (ROWS // 2, 1):
        parts = [slice(start, start + size) for start in range(0, ROWS, size)]
        outcomes = [_evaluate(loss, batch.index(part), values, seed, ROW_WEIGHTS[part]) for part in parts]
        apart = _Outcome(
            torch.cat([outcome.values for outcome in outcomes]),
            tuple(torch.cat(rows) for rows in zip(*(outcome.gradients for outcome in outcomes), strict=True)),
            {},
        )
        for what, one, other in _named(whole, apart):
            if not torch.allclose(one, other, rtol=RELATIVE, atol=ABSOLUTE):
                gap = float((one - other).abs().max())
                raise ValueError(
                    f"loss {loss.name!r}: its {what} in a batch of {ROWS} and in batches of {size} differ by "
                    f"up to {gap:.3g}, so examples influence each other. Register it with "
                    "batch_coupled=True (it is then evaluated on the whole optimizer batch), or treat each "
                    "example apart: no mean, sort, state or random numbers over the batch."
                )


def _named(one: _Outcome, other: _Outcome) -> Sequence[tuple[str, Tensor, Tensor]]:
    pairs = [("values", one.values, other.values)]
    return pairs + [("gradients", a, b) for a, b in zip(one.gradients, other.gradients, strict=True)]


def _require_lasting_state(loss: Loss, state: Mapping[str, Any]) -> None:
    """State exists once an optimizer batch, and is copied before each step and kept in checkpoints.

    Raises: ValueError.
    """
    if state and not loss.batch_coupled:
        raise ValueError(
            f"loss {loss.name!r} keeps {', '.join(map(repr, state))} in its state; register it with "
            "batch_coupled=True (it is then evaluated on the whole optimizer batch, and has a state)."
        )
    for key, value in state.items():
        if not (isinstance(key, str) and _can_be_kept(value)):
            raise ValueError(
                f"loss {loss.name!r} keeps {key!r} ({type(value).__name__}) in its state as a checkpoint cannot; "
                "allowed, under a name: a detached tensor; numbers and text, also in lists and dicts."
            )


def _can_be_kept(value: object) -> bool:
    """A tensor without gradient, or what JSON gives back as it was."""
    if isinstance(value, Tensor):
        return not value.requires_grad
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _require_terms_add_up(loss: Loss, batch: Batch, values: Mapping[str, float], whole: Tensor) -> None:
    """The terms, where a loss has any, make its values. Raises: ValueError with the gap."""
    if not loss.terms:
        return
    first, *others = (_call(loss, fn, batch, values).detach() for fn in loss.terms.values())
    total = sum(others, first)
    if not torch.allclose(total, whole, rtol=RELATIVE, atol=ABSOLUTE):
        gap = float((total - whole).abs().max())
        raise ValueError(
            f"loss {loss.name!r}: its terms {', '.join(loss.terms)} miss the loss by up to {gap:.3g}; "
            "terms carry their weights and add up to the loss."
        )


def _first_bad(values: Tensor) -> float:
    return float(values[~values.isfinite()][0])
