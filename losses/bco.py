"""Binary classifier optimization: wanted completions are class 1, unwanted ones class 0, the log-ratio is the logit.

Letters: a, d = summed log-ratios of policy to reference for the chosen and the rejected completion (nats), g =
that of a single completion, delta = running mean of beta*g; ls = log sigmoid.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.batch import ExampleBatch, PairBatch
from losses.registry import register


@register(
    "bco_pair",
    paper="arXiv:2404.04656, without reward shift",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.01,)},
    formula="-ls(beta*a) - ls(-beta*d)",
    verified="closed form in double precision; 2 ln 2 at policy == reference",
)
def bco_pair(pair: PairBatch, *, beta: float = 0.01) -> Tensor:
    """Both completions of a pair classified, each on its own; returns [N] nats.

    Source: arXiv:2404.04656 section 4; beta 0.01 there. Its reward shift is `bco`.

    Conventions: no shift, as in TRL's `bco_pair` today; earlier versions of TRL, and copies of them,
    subtract a running mean of the rewards, weighing each batch alike.
    """
    return -F.logsigmoid(beta * pair.chosen_log_ratio) - F.logsigmoid(-beta * pair.rejected_log_ratio)


@register(
    "bco",
    paper="arXiv:2404.04656, with reward shift",
    needs={"reference"},
    reward="log_ratio",
    grid={"beta": (0.01,)},
    batch_coupled=True,  # the running mean
    formula="-ls(beta*g - delta) or -ls(delta - beta*g), delta = mean of beta*g over all answers seen so far",
    verified="closed form in double precision over several steps; ln 2 at policy == reference",
)
def bco(batch: ExampleBatch, *, beta: float = 0.01) -> Tensor:
    """Each completion classified against the mean reward of all completions seen so far; returns [N] nats.

    delta includes the present batch and carries no gradient. It lives in the batch's state as
    `bco_sum` (sum of beta*g), `bco_count` and `bco_step`, and is updated once an optimizer step: a second
    call at the same step reads what the first one left. At rewards far above 0 a loss without the shift
    would only push wanted completions less and unwanted ones more.

    Source: arXiv:2404.04656 section 4; beta 0.01 there.

    Conventions: one mean over all answers, as in the BCO trainer that TRL no longer ships, which updates it in
    every micro-batch. Its optional weights for differing prompt distributions are left out: they need embeddings of
    the prompts.

    Raises: ValueError where the batch carries no state.
    """
    if batch.state is None:
        raise ValueError(
            "bco keeps a running mean, but state is missing from the batch; the trainer supplies it; "
            "by hand, pass ExampleBatch(..., state={}) with one dict for the whole training."
        )
    rewards = beta * batch.log_ratio
    state = batch.state
    if state.get("bco_step") != batch.step:
        state["bco_sum"] = state.get("bco_sum", 0.0) + float(rewards.detach().double().sum())
        state["bco_count"] = state.get("bco_count", 0) + len(batch)
        state["bco_step"] = batch.step
    centred = rewards - state["bco_sum"] / state["bco_count"]
    return -F.logsigmoid(torch.where(batch.desirable, centred, -centred))
