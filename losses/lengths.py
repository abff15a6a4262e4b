"""DPO that takes the length of completions into account: per token, with a penalty, on shared or sampled lengths.

Letters: a, d = summed log-ratios of policy to reference for the chosen and the rejected completion (nats),
nc, nr = their numbers of scored tokens, h = a - d; ls = log sigmoid.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch, SequenceLogProbs
from losses.registry import register


@register(
    "ln_dpo",
    paper="arXiv:2411.15124 (Tulu 3); arXiv:2405.14734 app. I",
    needs={"reference"},
    reward="mean_log_ratio",
    grid={"beta": (5.0,)},
    formula="-ls(beta*(a/nc - d/nr))",
    verified="closed form in double precision; ln 2 at policy == reference",
)
def ln_dpo(pair: PairBatch, *, beta: float = 5.0) -> Tensor:
    """DPO on log-ratios per token; returns [N] nats. Beta is about 5, because a mean is a small number.

    Source: arXiv:2411.15124; beta 5 in the commands of Tulu 3 (`dpo_norm` of open-instruct).

    Conventions: TRL's `sigmoid_norm`, which divides by a count that includes an unscored first token where
    the prompt is empty.
    """
    return -F.logsigmoid(beta * pair.mean_margin)


@register(
    "r_dpo",
    paper="arXiv:2403.19159",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.01, 0.05, 0.1)},
    formula="-ls(beta*h + alpha*(nc - nr))",
    verified="closed form in double precision; equals dpo where both answers are as long",
)
def r_dpo(pair: PairBatch, *, beta: float = 0.1, alpha: float = 0.01) -> Tensor:
    """DPO whose reward pays alpha for each token fewer; returns [N] nats.

    A pair whose chosen completion is the longer one counts as partly learnt before any training, so its length
    teaches less.

    Source: arXiv:2403.19159: reward r - alpha*length gives beta * log-ratio + alpha*length.

    Conventions: plus sign, outside beta, as in SamPO's code (`lenN`, weight 0.01). The released code of
    alpha-DPO writes a minus sign inside beta, and passes the batch size as both lengths, so that it never acts.
    """
    excess = (pair.chosen.count - pair.rejected.count).to(pair.margin.dtype)
    return -F.logsigmoid(beta * pair.margin + alpha * excess)


@register(
    "ld_dpo",
    paper="arXiv:2409.06411",
    needs={"reference", "tokens"},
    reward="log_ratio",
    grid={"beta": (0.1,)},
    formula="-ls(beta*(a' - d')), a' = sum of the first min(nc, nr) token log-ratios + alpha * sum of the others",
    verified="token by token in double precision; equals dpo at alpha 1 and for answers of one length",
)
def ld_dpo(pair: PairBatch, *, beta: float = 0.1, alpha: float = 0.5) -> Tensor:
    """DPO whose tokens beyond the shorter completion's length weigh alpha, in policy and reference; returns [N] nats.

    Source: arXiv:2409.06411; alpha between 0 (cut to the shorter length) and 1 (`dpo`).

    Conventions: TRL's `ld_alpha` with its `sigmoid`; there the per-token losses still divide by full lengths.

    Raises: ValueError where the batch has no token log-probs.
    """
    shared = torch.minimum(pair.chosen.count, pair.rejected.count)
    chosen = _token_log_ratios("ld_dpo", pair.chosen, pair.ref_chosen)
    rejected = _token_log_ratios("ld_dpo", pair.rejected, pair.ref_rejected)
    margin = _discounted(chosen, shared, alpha) - _discounted(rejected, shared, alpha)
    return -F.logsigmoid(beta * margin)


@register(
    "sampo",
    paper="arXiv:2406.10957",
    needs={"reference", "tokens"},
    reward="log_ratio",
    grid={"beta": (0.1,)},
    batch_coupled=True,  # draws from the generator
    formula="-ls(beta*(a' - d')), a' = sum over min(nc, nr) token log-ratios drawn without replacement",
    verified="token by token in double precision given the draw; its mean over draws; equals dpo at equal lengths",
)
def sampo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """DPO on as many tokens of the longer completion, drawn at random, as the shorter one has; returns [N] nats.

    Source: arXiv:2406.10957, and its authors' code.

    Conventions: policy and reference are compared on the same drawn tokens, so the margin is 0 where they
    are equal. The authors' released code draws anew for the reference, which adds noise to the margin.

    Raises: ValueError where the batch has no token log-probs or no generator.
    """
    if pair.generator is None:
        raise ValueError(
            "sampo draws tokens, but generator is missing from the batch; the trainer supplies one; "
            "by hand, pass PairBatch(..., generator=torch.Generator().manual_seed(0))."
        )
    shared = torch.minimum(pair.chosen.count, pair.rejected.count)
    margin = torch.zeros_like(pair.chosen.total)
    for sign, side, reference in ((1, pair.chosen, pair.ref_chosen), (-1, pair.rejected, pair.ref_rejected)):
        ratios = _token_log_ratios("sampo", side, reference)
        drawn = _drawn(ratios.mask, shared, pair.generator)
        margin = margin + sign * ratios.values.masked_fill(~drawn, 0.0).sum(-1)
    return -F.logsigmoid(beta * margin)


class _TokenLogRatios(NamedTuple):
    """values: [N, T] nats per scored token, 0 at padding; mask: [N, T], true where a token is scored."""

    values: Tensor
    mask: Tensor


def _token_log_ratios(name: str, policy: SequenceLogProbs, reference: SequenceLogProbs | None) -> _TokenLogRatios:
    """Token by token, policy minus reference. Raises: ValueError where either has sums alone."""
    if policy.tokens is None or policy.mask is None or reference is None or reference.tokens is None:
        raise ValueError(
            f'{name} reads token log-probs of policy and reference; needs={{"reference", "tokens"}} makes the '
            "trainer keep them; by hand, build both with SequenceLogProbs.from_tokens."
        )
    mask = policy.mask.bool()
    return _TokenLogRatios((policy.tokens - reference.tokens).masked_fill(~mask, 0.0), mask)


def _drawn(mask: Tensor, shared: Tensor, generator: torch.Generator) -> Tensor:
    """[N, T] true at `shared` [N] of the positions where `mask` [N, T] is, drawn evenly without replacement."""
    drawn = mask.clone()
    rows = (mask.sum(-1) > shared).nonzero()[:, 0]  # the longer completions; the others are kept whole
    # In double precision, because two equal numbers at the limit would keep a token too many.
    numbers = torch.rand(len(rows), mask.shape[1], generator=generator, device=generator.device, dtype=torch.float64)
    numbers = numbers.to(mask.device).masked_fill(~mask[rows], 2.0)
    limit = numbers.sort(-1).values.gather(1, shared[rows, None] - 1)
    drawn[rows] = numbers <= limit
    return drawn


def _discounted(ratios: _TokenLogRatios, shared: Tensor, alpha: float) -> Tensor:
    """[N] sum of token log-ratios (nats), those after the first `shared` [N] scored ones times alpha."""
    is_beyond = ratios.mask.cumsum(-1) > shared[:, None]
    return torch.where(is_beyond, alpha * ratios.values, ratios.values).sum(-1)
