"""One optimizer batch -> the gradient of its mean loss, micro-batch by micro-batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.job import Job
from harness.layout import LAYOUTS, Item, Layout
from harness.logprobs import Scorer
from harness.objective import Context, Outcome, Statistics, evaluate_loss, item_of, joined, padded
from harness.selection import Batch
from harness.state import TrainState
from harness.tokens import Row
from losses import SequenceLogProbs


class NonFinite(ArithmeticError):
    """The loss or its gradient is NaN or infinite: the cell stops before the optimizer step."""


class StepZeroMismatch(ArithmeticError):
    """Before any update the policy differs from its own reference: wrong weights, template or rows."""


def accumulate_gradient(scorer: Scorer, job: Job, batch: Batch, state: TrainState) -> Statistics:
    """Adds the gradient of the batch's mean loss to the parameters.

    The mean is over the whole optimizer batch, so the cut into micro-batches changes no gradient.
    Raises: NonFinite, StepZeroMismatch.
    """
    pairwise = job.loss.kind == "pairwise"
    context = Context(
        examples=len(batch.rows) if pairwise else sum(len(row.answers) for row in batch.rows),
        step=batch.step, max_steps=len(job.batches), kl=_kl(scorer, job, batch),
        generator=state.generator, state=state.loss_state,
    )  # fmt: skip
    micros = split(batch.rows, job)
    if job.loss.batch_coupled:
        return _coupled(scorer, job, micros, context)
    parts = []
    for rows in micros:
        layout = _layout(scorer, job, rows)
        tokens = scorer(layout)
        outcome = _evaluate(job, tokens, layout.mask, rows, context)
        tokens.backward(outcome.gradient)
        parts.append(outcome.statistics)
    return joined(parts)


def _coupled(scorer: Scorer, job: Job, micros: list[list[Row]], context: Context) -> Statistics:
    """All log-probs first, one call of the loss, then its gradient micro-batch by micro-batch.

    The second forward has the same packing, so its log-probs are those the gradient was taken at.
    """
    layouts = [_layout(scorer, job, rows) for rows in micros]
    with torch.no_grad():
        parts = [scorer(layout) for layout in layouts]
    width = max(part.shape[1] for part in parts)
    answers = [sum(len(row.answers) for row in rows) for rows in micros]
    rows = [row for micro in micros for row in micro]
    tokens = _answers_then_prompts([_widened(part, width) for part in parts], answers)
    mask = _answers_then_prompts([_widened(layout.mask, width) for layout in layouts], answers)
    outcome = _evaluate(job, tokens, mask, rows, context)
    sequences = [part.shape[0] for part in parts]
    after = sum(answers)
    before = 0
    for layout, part, count, total in zip(layouts, parts, answers, sequences, strict=True):
        prompts = total - count
        pieces = [outcome.gradient[before : before + count], outcome.gradient[after : after + prompts]]
        scorer(layout).backward(torch.cat(pieces)[:, : part.shape[1]])
        before, after = before + count, after + prompts
    return outcome.statistics


def _widened(values: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, width - values.shape[1]))


def _answers_then_prompts(parts: list[Tensor], answers: list[int]) -> Tensor:
    """Micro-batches [n, T] as one, in the order that the loss expects: every answer, then every prompt."""
    first = [part[:count] for part, count in zip(parts, answers, strict=True)]
    second = [part[count:] for part, count in zip(parts, answers, strict=True)]
    return torch.cat(first + second)


def split(rows: Sequence[Row], job: Job) -> list[list[Row]]:
    """Micro-batches: rows sorted by length, so that little is padding, cut by number or by tokens."""
    order = sorted(rows, key=lambda row: (row_tokens(row), row.id))
    if job.micro_batch is not None:
        return [order[i : i + job.micro_batch] for i in range(0, len(order), job.micro_batch)]
    micros: list[list[Row]] = []
    for row in order:
        if micros and (len(micros[-1]) + 1) * row_tokens(row) <= job.micro_tokens:
            micros[-1].append(row)
        else:
            micros.append([row])
    return micros


def row_tokens(row: Row) -> int:
    """Tokens of a row with its prompt once, padding apart."""
    return len(row.prompt) + sum(map(len, row.answers))


def _layout(scorer: Scorer, job: Job, rows: Sequence[Row]) -> Layout:
    build = LAYOUTS[job.layout]
    layout = build([item_of(row) for row in rows], pad=job.pad, with_prompt="prompt" in job.loss.needs)
    return layout.to(next(scorer.parameters()).device)


def _evaluate(job: Job, tokens: Tensor, mask: Tensor, rows: Sequence[Row], context: Context) -> Outcome:
    """The loss of some rows, refused where it is not finite or (at step 0) not the reference's."""
    reference = None
    if "reference" in job.loss.needs:
        reference = padded([job.reference[row.id] for row in rows], tokens.device)
        if context.step == 0:
            _require_equal_start(job, tokens, mask, reference)
    outcome = evaluate_loss(job.loss, job.hyperparameters, tokens, mask, rows, reference, context)
    values = outcome.statistics.values
    if not (values.isfinite().all() and outcome.gradient.isfinite().all()):
        problem = f"loss {values.mean().item():g}, or its gradient, is not finite"
        raise NonFinite(describe(job, context.step, rows, problem))
    return outcome


def describe(job: Job, step: int, rows: Sequence[Row], problem: str) -> str:
    """A failure with all that is needed to look into it."""
    ids = ", ".join(row.id for row in rows[:4]) + (", …" if len(rows) > 4 else "")
    lr = job.schedule.learning_rate(step, len(job.batches))
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
def _kl(scorer: Scorer, job: Job, batch: Batch) -> float | None:
    """KTO's z (arXiv:2402.01306 eq. 7): mean log-ratio of mismatched answers, at least 0, no gradient."""
    if "mismatched" not in job.loss.needs:
        return None
    total = 0.0
    for rows in split(batch.rows, job):
        items: list[Item] = [job.mismatched[row.id][0] for row in rows]
        layout = LAYOUTS[job.layout](items, pad=job.pad).to(next(scorer.parameters()).device)
        reference = sum(answer.sum().item() for row in rows for answer in job.mismatched[row.id][1])
        total += scorer(layout).sum().item() - reference
    return max(0.0, total / len(batch.rows))
