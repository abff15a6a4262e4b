"""Token log-probs of an optimizer batch -> the loss and its gradient with respect to them.

The loss is always evaluated on log-probs cut from the model's graph; its gradient is then pushed back
through the model. So a micro-batch changes no gradient (the sum is divided by the size of the whole
optimizer batch), and a batch-coupled loss runs on exactly the same path with all log-probs at once.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness.data.tokens import Row
from harness.model.logprobs import Scored
from harness.model.reference import Scores
from losses import ExampleBatch, Loss, PairBatch, SequenceLogProbs, reward


@dataclass(frozen=True)
class Context:
    """What a loss may know besides log-probs.

    examples: size of the whole optimizer batch as the loss counts it (pairs, or single completions), by which
              the sum is divided. kl: nats, for losses that need "mismatched".
    """

    examples: int
    step: int
    max_steps: int
    kl: float | None = None
    generator: torch.Generator | None = None
    state: dict[str, Any] = field(default_factory=dict)


class Statistics(NamedTuple):
    """What the curves show of a batch, completions in row order.

    values: [n] the loss; terms: name -> [n]. rewards: [completions] the loss's own reward, nats.
    totals: [completions] log-prob, nats. weights: [completions] mean over tokens of |d loss / d log-prob|.
    preferred: [completions] bool, chosen or desirable.
    """

    values: Tensor
    terms: dict[str, Tensor]
    rewards: Tensor
    totals: Tensor
    weights: Tensor
    preferred: Tensor


class Outcome(NamedTuple):
    """gradient: [N, T] of the optimizer batch's mean loss with respect to the token log-probs."""

    gradient: Tensor
    statistics: Statistics


def joined(parts: Sequence[Statistics]) -> Statistics:
    """The statistics of several micro-batches as one."""
    terms = {name: torch.cat([part.terms[name] for part in parts]) for name in parts[0].terms}
    tensors = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in Statistics._fields if name != "terms"
    }
    return Statistics(terms=terms, **tensors)


def padded(scores: Scores, device: str | torch.device) -> SequenceLogProbs:
    """Stored log-probs of several items as one batch, completions in item order."""
    completions = [completion for item in scores for completion in item]
    width = max(map(len, completions))
    tokens = torch.stack([torch.nn.functional.pad(a, (0, width - len(a))) for a in completions])
    counts = torch.tensor([len(a) for a in completions])
    mask = torch.arange(width)[None, :] < counts[:, None]
    return SequenceLogProbs.from_tokens(tokens.to(device), mask.to(device))


def evaluate_loss(
    loss: Loss,
    hyperparameters: Mapping[str, float],
    scored: Scored,
    mask: Tensor,
    rows: Sequence[Row],
    reference: SequenceLogProbs | None,
    context: Context,
) -> Outcome:
    """The loss of `rows` and its gradient.

    scored, mask: [N, T] log-probs (nats) and statistics of all completions, row by row, then of the prompts
    where the loss needs them. The result's gradient is of sum(loss) / context.examples.
    """
    leaf = scored.logps.detach().requires_grad_(True)
    everything = SequenceLogProbs.from_tokens(leaf, mask, scored.stats or None)
    completions = sum(len(row.completions) for row in rows)
    policy = _narrow(everything.index(slice(0, completions)))
    prompt = everything.index(slice(completions, None)) if "prompt" in loss.needs else None
    given = reference if "reference" in loss.needs else None
    batch = _batch(loss, policy, given, prompt, rows, context)
    untouched = _as_it_is(batch) if loss.terms else batch
    values = loss.fn(batch, **hyperparameters)
    (gradient,) = torch.autograd.grad(values.sum() / context.examples, leaf)
    with torch.no_grad():
        terms = {name: term(untouched, **hyperparameters) for name, term in loss.terms.items()}
        rewards = reward(loss.reward, policy, given)
        weights = gradient[:completions].abs().sum(-1) / policy.count * context.examples
    statistics = Statistics(
        values.detach().cpu(),
        {name: t.cpu() for name, t in terms.items()},
        rewards.detach().cpu(),
        policy.total.detach().cpu(),
        weights.cpu(),
        _preferred(rows),
    )
    return Outcome(gradient, statistics)


def _narrow(side: SequenceLogProbs) -> SequenceLogProbs:
    """The same over as many positions as the longest completion has, as the reference's are; prompts may be longer."""
    width = int(side.count.max())
    stats = side.stats and {name: values[:, :width] for name, values in side.stats.items()}
    tokens, mask = (part if part is None else part[:, :width] for part in (side.tokens, side.mask))
    return replace(side, tokens=tokens, mask=mask, stats=stats)


def _as_it_is(batch: PairBatch | ExampleBatch) -> PairBatch | ExampleBatch:
    """The batch with copies of its state and generator: terms find what the loss found and leave no trace."""
    generator = batch.generator and batch.generator.clone_state()
    return replace(batch, state=copy.deepcopy(batch.state), generator=generator)


def _preferred(rows: Sequence[Row]) -> Tensor:
    """[completions] bool: chosen or desirable."""
    flags = [i == 0 if row.desirable is None else row.desirable for row in rows for i in range(len(row.completions))]
    return torch.tensor(flags)


def _batch(
    loss: Loss,
    policy: SequenceLogProbs,
    reference: SequenceLogProbs | None,
    prompt: SequenceLogProbs | None,
    rows: Sequence[Row],
    context: Context,
) -> PairBatch | ExampleBatch:
    # Only a batch-coupled loss sees the generator and the state: they exist once an optimizer batch.
    coupled = loss.batch_coupled
    common: dict[str, Any] = {
        "step": context.step,
        "max_steps": context.max_steps,
        "generator": context.generator if coupled else None,
        "state": context.state if coupled else None,
    }
    scores = _scores(rows, policy.total) if "scores" in loss.needs else None
    if loss.kind == "pairwise":
        chosen, rejected = slice(0, None, 2), slice(1, None, 2)
        return PairBatch(
            chosen=policy.index(chosen),
            rejected=policy.index(rejected),
            ref_chosen=reference.index(chosen) if reference is not None else None,
            ref_rejected=reference.index(rejected) if reference is not None else None,
            prompt=prompt,
            scores=scores,
            **common,
        )
    per_row = torch.tensor([len(row.completions) for row in rows], device=policy.total.device)
    return ExampleBatch(
        policy=policy,
        reference=reference,
        desirable=_preferred(rows).to(policy.total.device),
        kl=None if context.kl is None else policy.total.new_tensor(context.kl),
        prompt=prompt and prompt.index(torch.arange(len(rows), device=per_row.device).repeat_interleave(per_row)),
        scores=None if scores is None else scores.flatten(),
        **common,
    )


def _scores(rows: Sequence[Row], like: Tensor) -> Tensor:
    """[n, 2] ratings. Raises: ValueError naming a row that has none."""
    for row in rows:
        if row.scores is None:
            raise ValueError(f"row '{row.id}' carries no scores, but the loss needs them")
    return like.new_tensor([row.scores for row in rows])
