"""Alignment via optimal transport: the whole distribution of margins has to rise, not each pair's own.

Letters: c, r = summed log-probs of the chosen and rejected completion under the policy (nats), rc, rr = the same
under the reference; a = c - rc, d = r - rr; sort = ascending order over the optimizer batch; ls = log sigmoid.
"""

import torch.nn.functional as F
from torch import Tensor

from losses.batch import PairBatch
from losses.registry import register


@register(
    "aot",
    paper="arXiv:2406.05882, paired",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.01,)},
    batch_coupled=True,  # the order over the batch
    formula="-ls(beta*(sort(c - r) - sort(rc - rr))), sorted over the optimizer batch",
    verified="hand-sorted batches in double precision; ln 2 at policy == reference; equals dpo for one pair",
)
def aot(pair: PairBatch, *, beta: float = 0.01) -> Tensor:
    """The k-th smallest policy margin against the k-th smallest reference margin of the batch; returns [N] nats.

    Values stay in the order of the pairs: pair i carries the comparison in which its own policy margin enters.

    Source: arXiv:2406.05882 section 3; beta 0.01 there.

    Conventions: sorted over the optimizer batch; TRL's `aot` sorts within a micro-batch, so it moves with
    the split. No label smoothing, which TRL allows here.
    """
    policy = pair.chosen.total - pair.rejected.total
    reference = policy - pair.margin
    return -F.logsigmoid(beta * (policy - _by_rank_of(policy, reference)))


@register(
    "aot_unpaired",
    paper="arXiv:2406.05882, unpaired",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.01,)},
    batch_coupled=True,  # the order over the batch
    formula="-ls(beta*(sort(a) - sort(d))), sorted over the optimizer batch",
    verified="hand-sorted batches in double precision; ln 2 at policy == reference; equals dpo for one pair",
)
def aot_unpaired(pair: PairBatch, *, beta: float = 0.01) -> Tensor:
    """The k-th smallest chosen log-ratio against the k-th smallest rejected log-ratio; returns [N] nats.

    Which rejected completion belonged to which chosen one does not matter. Values stay in the order of the
    chosen completions.

    Source: arXiv:2406.05882 section 3; beta 0.01 there.

    Conventions: as `aot`.
    """
    chosen, rejected = pair.chosen_log_ratio, pair.rejected_log_ratio
    return -F.logsigmoid(beta * (chosen - _by_rank_of(chosen, rejected)))


def _by_rank_of(values: Tensor, others: Tensor) -> Tensor:
    """[N] `others` rearranged: its k-th smallest stands where the k-th smallest of `values` does."""
    rank = values.detach().argsort(stable=True).argsort()
    return others.sort().values[rank]
