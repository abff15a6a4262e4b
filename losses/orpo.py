"""Odds-ratio preference optimization: likelihood of the chosen completion plus an odds-ratio term, no reference.

Letters: cbar, rbar = mean log-probs per scored token of the chosen and rejected completion under the policy
(nats); odds(p) = p / (1 - p) with p = exp(cbar); ls = log sigmoid. What is called beta here is lambda in
the paper and alpha in the authors' scripts.
"""

import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register
from losses.rewards import log_odds

GRID = {"beta": (0.1, 0.5, 1.0, 2.0)}


def _nll(pair: PairBatch, *, beta: float) -> Tensor:
    """Mean negative log-likelihood per token of the chosen completion; [N] nats."""
    return -pair.chosen.mean


def _prompt_nll(pair: PairBatch, *, beta: float) -> Tensor:
    """Mean negative log-likelihood per token of prompt and chosen completion together; [N] nats. Raises: ValueError."""
    if pair.prompt is None:
        raise ValueError(
            "orpo_prompt_nll reads the prompt's log-probs, but prompt is missing from the batch; "
            'needs={"prompt"} makes the trainer compute them; by hand, pass PairBatch(..., prompt=...).'
        )
    total = pair.prompt.total + pair.chosen.total
    return -total / (pair.prompt.count + pair.chosen.count)


def _odds(pair: PairBatch, *, beta: float) -> Tensor:
    """The odds-ratio term with its weight: -beta * ls(log odds ratio); [N]."""
    return -beta * F.logsigmoid(log_odds(pair.chosen.mean) - log_odds(pair.rejected.mean))


@register(
    "orpo",
    paper="arXiv:2403.07691 eq. 6-7",
    reward="log_odds",
    grid=GRID,
    lr_scale=10.0,
    formula="-cbar - beta*ls(log_odds), log_odds = (cbar - rbar) - (log1mexp(cbar) - log1mexp(rbar))",
    verified="hand-computed values and gradients; finite at mean log-prob 0, -1e-8, -1e-3, -50, -2000",
    terms={"nll": _nll, "odds": _odds},
)
def orpo(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """Likelihood of the chosen completion plus beta times the odds-ratio term; returns [N] nats.

    Its terms `nll` and `odds` (weight included) add up to the loss. The likelihood term dominates at small
    beta, so a row of this loss is read beside the `sft` control.

    Source: arXiv:2403.07691 eq. 6-7.

    Conventions: likelihood over the answer only, as in LLaMA-Factory; the authors, TRL and axolotl include
    the prompt: that is `orpo_prompt_nll`. Mean per sequence, then over sequences, so any split of the batch
    has the same gradient; TRL averages over the tokens of a micro-batch. Odds from mean log-probs in at
    least fp32; implementations differ in log(1 - exp(x)) near 0: at -1e-8 the gradient is NaN in TRL and
    LLaMA-Factory.
    """
    return _nll(pair, beta=beta) + _odds(pair, beta=beta)


@register(
    "orpo_prompt_nll",
    paper="arXiv:2403.07691 eq. 6-7, as the authors run it",
    needs={"prompt"},
    reward="log_odds",
    grid=GRID,
    lr_scale=10.0,
    formula="-(p + c)/(np + nc) - beta*ls(log_odds), p = summed log-prob of the prompt's np scored tokens",
    verified="hand-computed values and gradients",
    terms={"nll": _prompt_nll, "odds": _odds},
)
def orpo_prompt_nll(pair: PairBatch, *, beta: float = 0.1) -> Tensor:
    """`orpo` with the likelihood taken over prompt and chosen completion; returns [N] nats.

    Its terms `nll` and `odds` (weight included) add up to the loss.

    Source: arXiv:2403.07691 eq. 6-7, and the default of the authors' code.

    Conventions: likelihood over prompt and answer, as in the authors' code, TRL and axolotl, but as a mean
    per sequence (see `orpo`). The odds are those of the answer alone.
    """
    return _prompt_nll(pair, beta=beta) + _odds(pair, beta=beta)
