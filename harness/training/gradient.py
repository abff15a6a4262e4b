"""One optimizer batch -> the gradient of its mean loss, micro-batch by micro-batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from harness.compute import ranks
from harness.data.tokens import Row, item_of
from harness.errors import NonFinite
from harness.model.layout import LAYOUTS, Item, Layout
from harness.model.logprobs import Scored, Scorer
from harness.training.checkpoint import TrainState
from harness.training.feed import Batch
from harness.training.job import Job
from harness.training.micro_batches import shares, split
from harness.training.objective import Context, Outcome, Statistics, evaluate_loss, joined, padded
from harness.training.whole_batch import Seen, cut, join
from losses import SequenceLogProbs

T = TypeVar("T")
Shared = Sequence[Sequence[list[Row]]]  # the micro-batches of each process


class StepZeroMismatch(ArithmeticError):
    """Before any update the policy differs from its own reference: wrong weights, template or rows."""


def accumulate_gradient(scorer: Scorer, job: Job, batch: Batch, state: TrainState) -> Statistics:
    """Adds the gradient of the batch's mean loss to the parameters.

    The mean is over the whole optimizer batch, so neither its cut into micro-batches nor the number of processes
    that share them changes a gradient. Raises: NonFinite, StepZeroMismatch.
    """
    shared = [split(rows, job) for rows in shares(batch.rows, ranks.count())]
    micros = shared[ranks.rank()]
    pairwise = job.loss.kind == "pairwise"
    # One micro-batch: KTO's mismatched completion is one more branch of its row, and the prompt is not computed again.
    branch = "mismatched" in job.loss.needs and len(shared) == len(micros) == 1
    context = Context(
        examples=len(batch.rows) if pairwise else sum(len(row.completions) for row in batch.rows),
        step=batch.step,
        max_steps=job.feed.steps,
        kl=None if branch else _kl(scorer, job, shared),
        generator=state.generator,
        state=state.loss_state,
    )
    if branch:
        return _branched(scorer, job, micros[0], context)
    if job.loss.batch_coupled:
        statistics = _coupled(scorer, job, shared, context)
    else:
        parts = ranks.all_gather(
            lambda: _in_step(scorer, job, shared, lambda n: _single(scorer, job, micros[n], context))
        )
        statistics = joined([part for theirs in parts for part in theirs])
    ranks.sum_gradients(scorer.parameters())
    return statistics


def _single(scorer: Scorer, job: Job, rows: list[Row], context: Context) -> Statistics:
    """One micro-batch of a loss that needs to see no other."""
    layout = _layout(scorer, job, rows)
    scored = scorer(layout, job.statistics)
    try:
        outcome = _evaluate(job, scored, layout.mask, rows, context)
    except (NonFinite, StepZeroMismatch):
        if ranks.sharded():
            scored.logps.backward(torch.zeros_like(scored.logps))  # the others make this pass too
        raise
    scored.logps.backward(outcome.gradient)
    return outcome.statistics


def _in_step(scorer: Scorer, job: Job, shared: Shared, act: Callable[[int], T]) -> list[T]:
    """`act` of each of this process's micro-batches, by number; where weights are sharded, with as many passes of
    the model as any process makes, also after a failure: passes without an effect make up for what is missing."""
    done, found, mine = 0, [], len(shared[ranks.rank()])
    try:
        for number in range(mine):
            done += 1
            found.append(act(number))
    finally:
        if ranks.sharded():
            rows = next(micros[0] for micros in shared if micros)
            for _ in range(done, max(map(len, shared))):
                logps = scorer(_layout(scorer, job, rows)).logps
                if logps.requires_grad:
                    logps.backward(torch.zeros_like(logps))
    return found


def _branched(scorer: Scorer, job: Job, rows: list[Row], context: Context) -> Statistics:
    """The mismatched completions as the last branch of each row: measured in the same pass, without a gradient."""
    items = [Item(row.prompt, (*row.completions, *job.mismatched[row.id][0].completions)) for row in rows]
    layout = _built(scorer, job, items)
    scored = scorer(layout, job.statistics)
    ours: list[int] = []
    others: list[int] = []
    number = 0
    for row, item in zip(rows, items, strict=True):
        ours += range(number, number + len(row.completions))
        others.append(number + len(row.completions))
        number += len(item.completions)
    ours += range(number, len(scored.logps))  # prompts, where the loss needs them
    kl = _at_least_0((scored.logps[others].detach().sum().item() - _mismatched_reference(job, rows)) / len(rows))
    picked = Scored(scored.logps[ours], {name: value[ours] for name, value in scored.stats.items()})
    outcome = _evaluate(job, picked, layout.mask[ours], rows, replace(context, kl=kl))
    torch.autograd.backward(picked.logps, outcome.gradient)
    return outcome.statistics


def _coupled(scorer: Scorer, job: Job, shared: Shared, context: Context) -> Statistics:
    """All log-probs first, one call of the loss, then its gradient micro-batch by micro-batch.

    Every process sees the log-probs of all and evaluates the loss on them. The second forward has the same packing, so
    its log-probs are those the gradient was taken at.
    """
    micros = shared[ranks.rank()]
    if len(shared) == len(micros) == 1:
        return _single(scorer, job, micros[0], context)
    layouts = [_layout(scorer, job, rows) for rows in micros]
    parts = _seen_by_all(scorer, job, shared, layouts)
    batch = join(parts).to(next(scorer.parameters()).device)
    rows = [row for theirs in shared for micro in theirs for row in micro]
    outcome = ranks.barrier(lambda: _evaluate(job, Scored(batch.logps, batch.stats), batch.mask, rows, context))
    pieces = cut(outcome.gradient, parts)[sum(map(len, shared[: ranks.rank()])) :]  # this process's come first
    ranks.barrier(lambda: _in_step(scorer, job, shared, lambda n: scorer(layouts[n]).logps.backward(pieces[n])))
    return outcome.statistics


@torch.no_grad()
def _seen_by_all(scorer: Scorer, job: Job, shared: Shared, layouts: Sequence[Layout]) -> list[Seen]:
    """Every micro-batch's log-probs, process by process, in all processes; layouts: of this process's."""
    micros = shared[ranks.rank()]

    def see(number: int) -> Seen:
        completions = sum(len(row.completions) for row in micros[number])
        return Seen.of(scorer(layouts[number], job.statistics), layouts[number].mask, completions)

    return [part for theirs in ranks.all_gather(lambda: _in_step(scorer, job, shared, see)) for part in theirs]


def _layout(scorer: Scorer, job: Job, rows: Sequence[Row]) -> Layout:
    return _built(scorer, job, [item_of(row) for row in rows])


def _built(scorer: Scorer, job: Job, items: Sequence[Item]) -> Layout:
    layout = LAYOUTS[job.layout](items, pad=job.pad, with_prompt="prompt" in job.loss.needs)
    return layout.to(next(scorer.parameters()).device)


def _evaluate(job: Job, scored: Scored, mask: Tensor, rows: Sequence[Row], context: Context) -> Outcome:
    """The loss of some rows, refused where it is not finite or (at step 0) not the reference's."""
    reference = None
    if "reference" in job.loss.needs:
        reference = padded([job.reference[row.id] for row in rows], scored.logps.device)
        if context.step == 0:
            _require_equal_start(job, scored.logps, mask, reference)
    outcome = evaluate_loss(job.loss, job.hyperparameters, scored, mask, rows, reference, context)
    values = outcome.statistics.values
    if not (values.isfinite().all() and outcome.gradient.isfinite().all()):
        problem = f"loss {values.mean().item():g}, or its gradient, is not finite"
        raise NonFinite(describe(job, context.step, rows, problem))
    return outcome


def describe(job: Job, step: int, rows: Sequence[Row], problem: str) -> str:
    """A failure with all that is needed to look into it."""
    ids = ", ".join(row.id for row in rows[:4]) + (", …" if len(rows) > 4 else "")
    lr = job.schedule.learning_rate(step, job.feed.steps)
    return f"{job.loss.name}: {problem} at step {step} (learning rate {lr:g}; rows {ids})"


def _require_equal_start(job: Job, tokens: Tensor, mask: Tensor, reference: SequenceLogProbs) -> None:
    sums = tokens.detach().masked_fill(~mask, 0).sum(-1)[: len(reference)]
    # Roundings of single tokens add up as a random walk does.
    steps = (sums - reference.total).abs() / reference.count.sqrt()
    if steps.max().item() > job.tolerance:
        worst = int(steps.argmax())
        raise StepZeroMismatch(
            f"{job.loss.name}: at step 0 policy and reference differ by {(sums - reference.total)[worst]:.3g} nats "
            f"over {int(reference.count[worst])} tokens (allowed: {job.tolerance:g} times their square root); "
            "the reference is not of these weights, rows or template"
        )


@torch.no_grad()
def _kl(scorer: Scorer, job: Job, shared: Shared) -> float | None:
    """KTO's z (arXiv:2402.01306 eq. 7): mean log-ratio of mismatched completions, at least 0, no gradient."""
    if "mismatched" not in job.loss.needs:
        return None
    micros = shared[ranks.rank()]

    def log_ratio(number: int) -> float:
        rows = micros[number]
        items: list[Item] = [job.mismatched[row.id][0] for row in rows]
        layout = LAYOUTS[job.layout](items, pad=job.pad).to(next(scorer.parameters()).device)
        return float(scorer(layout).logps.sum().item()) - _mismatched_reference(job, rows)

    log_ratios = ranks.all_gather(lambda: _in_step(scorer, job, shared, log_ratio))
    return _at_least_0(sum(map(sum, log_ratios)) / sum(len(rows) for theirs in shared for rows in theirs))


def _at_least_0(log_ratio: float) -> float:
    """NaN stays NaN, so that the loss is not finite and the cell stops; max(0.0, nan) would be 0."""
    return max(log_ratio, 0.0)


def _mismatched_reference(job: Job, rows: Sequence[Row]) -> float:
    return sum(completion.sum().item() for row in rows for completion in job.mismatched[row.id][1])
