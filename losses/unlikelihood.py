"""Unlikelihood training on pairs: likelihood of the chosen completion, unlikelihood of each rejected token.

Letters: cbar = mean log-prob per scored token of the chosen completion under the policy (nats), q_t = log-prob of
the rejected completion's token t, nr = number of those tokens.
"""

from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register
from losses.rewards import log1mexp


def _nll(pair: PairBatch, *, beta: float) -> Tensor:
    """Mean negative log-likelihood per token of the chosen completion; [N] nats."""
    return -pair.chosen.mean


def _unlikelihood(pair: PairBatch, *, beta: float) -> Tensor:
    """-beta times the mean of log(1 - exp(q_t)) over the rejected completion's tokens; [N]. Raises: ValueError."""
    side = pair.rejected
    if side.tokens is None or side.mask is None:
        raise ValueError(
            'unlikelihood reads token log-probs, but tokens is missing from the batch; needs={"tokens"} makes '
            "the trainer keep them; by hand, build the batch with SequenceLogProbs.from_tokens."
        )
    is_padding = ~side.mask.bool()
    # Padding may hold anything: a harmless number goes in before the logarithm, a zero comes out after it.
    terms = log1mexp(side.tokens.masked_fill(is_padding, -1.0)).masked_fill(is_padding, 0.0)
    return -beta * terms.sum(-1) / side.count.to(terms.dtype)


@register(
    "unlikelihood",
    paper="arXiv:1908.04319, with the rejected answer's tokens as negative candidates",
    needs={"tokens"},
    reward="mean_log_prob",
    grid={"beta": (1.0,)},
    lr_scale=10.0,
    formula="-cbar - beta*mean_t(log(1 - exp(q_t)))",
    verified="token by token in double precision; finite at q_t = 0, -1e-8, -2000",
    terms={"nll": _nll, "unlikelihood": _unlikelihood},
)
def unlikelihood(pair: PairBatch, *, beta: float = 1.0) -> Tensor:
    """Likelihood of the chosen completion plus beta times the unlikelihood of the rejected's tokens; returns [N] nats.

    Its terms `nll` and `unlikelihood` (weight included) add up to it. Both terms are at least 0, so an
    unlikely rejected token stops counting, unlike in a loss that lowers its log-prob without end. Tokens that
    both completions share are pushed both ways.

    Source: arXiv:1908.04319, whose sequence-level form penalises repeated tokens of the model's own text; the
    candidates here are the rejected completion's tokens. At beta 1 both terms weigh the same.

    Conventions: mean per sequence. The authors' code sums over the tokens of a batch and clamps
    1 - p at 1e-20, where the gradient ends; here log(1 - p) is computed without cancellation.
    """
    return _nll(pair, beta=beta) + _unlikelihood(pair, beta=beta)
