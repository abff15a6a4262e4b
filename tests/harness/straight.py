"""The gradient of an optimizer batch taken straight through the stock model: one sequence at a time, no layout."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import losses
from harness.data.tokens import Row
from harness.training.job import Job
from harness.training.micro_batches import split

Gradients = dict[str, Tensor]


def straight_gradient(model: torch.nn.Module, job: Job) -> Gradients:
    """Parameter gradients of the mean loss of the job's first batch, as autograd gives them in one graph."""
    batch = job.feed.batch(0)
    rows = [row for micro in split(batch.rows, job) for row in micro]  # in the order of random draws
    model.zero_grad()
    policy = sequences(model, [(row.prompt, completion) for row in rows for completion in row.completions])
    reference = given([score for row in rows for score in job.reference[row.id]])
    prompt = sequences(model, [(row.prompt[:1], row.prompt[1:]) for row in rows])
    common = {
        "step": batch.step,
        "max_steps": job.feed.steps,
        "generator": torch.Generator().manual_seed(0),
        "state": {},
    }
    if job.loss.kind == "pairwise":
        one, two = slice(0, None, 2), slice(1, None, 2)
        example = losses.PairBatch(
            policy.index(one), policy.index(two), reference.index(one), reference.index(two), prompt, **common
        )
    else:
        flags = [
            i == 0 if row.desirable is None else row.desirable for row in rows for i in range(len(row.completions))
        ]
        example = losses.ExampleBatch(
            policy, reference, torch.tensor(flags), kl=mismatched_log_ratio(model, job, rows), **common
        )
    job.loss.fn(example, **job.hyperparameters).mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def sequences(model: torch.nn.Module, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> losses.SequenceLogProbs:
    """Log-probs, with gradient, of each second part after its first."""
    tokens, squares = [], []
    for before, after in pairs:
        ids = torch.tensor([[*before, *after]])
        logps = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].log_softmax(-1)
        logps = logps[len(before) - 1 : len(ids[0]) - 1]
        tokens.append(logps.gather(1, ids[0, len(before) :, None])[:, 0])
        squares.append(logps.detach().exp().square().sum(-1).log())
    return given(tokens, {"log_sum_p2": torch.nn.utils.rnn.pad_sequence(squares, batch_first=True)})


def given(tokens: Sequence[Tensor], stats: dict[str, Tensor] | None = None) -> losses.SequenceLogProbs:
    """Sequences of unlike length as one padded batch."""
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(t), dtype=torch.bool) for t in tokens], batch_first=True)
    return losses.SequenceLogProbs.from_tokens(
        torch.nn.utils.rnn.pad_sequence(list(tokens), batch_first=True), mask, stats
    )


@torch.no_grad()
def mismatched_log_ratio(model: torch.nn.Module, job: Job, rows: Sequence[Row]) -> Tensor:
    """KTO's z (arXiv:2402.01306 eq. 7): a pass of its own over prompts with other prompts' completions."""
    items = [job.mismatched[row.id] for row in rows]
    ours = sequences(model, [(item.prompt, item.completions[0]) for item, _ in items]).total
    theirs = torch.stack([scores[0].sum() for _, scores in items])
    return (ours - theirs).mean().clamp(min=0)
