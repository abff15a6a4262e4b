"""Supervised fine-tuning on the chosen completions: the baseline that every preference loss is read against.

Letters: cbar = mean log-prob per scored token of the chosen completion under the policy (nats).
"""

from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register


@register(
    "sft",
    paper="maximum likelihood",
    reward="mean_log_prob",
    lr_scale=20.0,
    formula="-cbar",
    verified="hand-computed values and gradients",
)
def sft(pair: PairBatch) -> Tensor:
    """Mean negative log-likelihood per token of the chosen completion; returns [N] nats. Rejected is not read.

    Source: maximum likelihood; no paper of its own.

    Conventions: mean per sequence, then over sequences, so any split of the batch has the same gradient;
    most trainers average over all tokens of a micro-batch, which weighs long answers more.
    """
    return -pair.chosen.mean
