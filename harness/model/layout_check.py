"""Which layout may be used for a model: each is tried against the stock model before a run.

The oracle is the stock `model(input_ids, attention_mask).logits`, one completion at a time, never our own head
or masks, and the rows tried include the longest of the run: a window shows only beyond its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.errors import UsageError
from harness.model.layout import LAYOUTS, Item
from harness.model.logprobs import Scorer

# Allowed difference (nats, a sequence) of two ways to compute the same fp32 log-probs. Off the CPU, kernels
# differ by shape; a wrong mask is off by a tenth of a nat and more.
EXACT = 1e-3
NEARLY_EXACT = 5e-2

# Fastest first. "shared" asks that a prompt is computed once, in either form.
PREFERENCE = {
    "auto": ("packed", "shared", "plain"),
    "packed": ("packed", "shared", "plain"),
    "shared": ("shared", "plain"),
    "plain": ("plain",),
}


class LayoutCheck(NamedTuple):
    """The layout to use, and why it is not a faster one where it is not."""

    layout: str
    reason: str


@torch.no_grad()
def stock_logps(model: nn.Module, item: Item) -> Tensor:
    """[completions] nats: the oracle. One completion at a time, from `model(input_ids, attention_mask).logits`."""
    device = next(model.parameters()).device
    sums = []
    for completion in item.completions:
        ids = torch.tensor([[*item.prompt, *completion]], device=device)
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].float()
        logps = logits.log_softmax(-1)[len(item.prompt) - 1 : -1]
        sums.append(logps.gather(1, ids[0, len(item.prompt) :, None]).sum())
    return torch.stack(sums)


def check_layout(model: nn.Module, items: Sequence[Item], *, wanted: str, pad: int) -> LayoutCheck:
    """Tries layouts on `items` (among them the longest row), fastest first, and returns the first that holds.

    wanted: "auto", or the fastest layout to try.
    Raises: UsageError where even the plain layout differs from the stock model.
    """
    oracle = torch.cat([stock_logps(model, item) for item in items])
    reasons = []
    for name in PREFERENCE[wanted]:
        reason = _difference(model, items, name, oracle, pad)
        if not reason:
            return LayoutCheck(name, "; ".join(reasons))
        reasons.append(reason)
    kind = getattr(model.config, "model_type", "?")
    raise UsageError(
        [
            f"the log-probs of model type '{kind}' differ from its own logits: {reasons[-1]}; "
            "this model cannot be measured here"
        ]
    )


@torch.no_grad()
def _difference(model: nn.Module, items: Sequence[Item], name: str, oracle: Tensor, pad: int) -> str:
    """Why this layout cannot be used: empty where it agrees with the oracle."""
    try:
        layout = LAYOUTS[name](items, pad=pad).to(oracle.device)
        # Chunks of the head that are smaller than in the run, so that the joints are tried too.
        seen = Scorer(model, chunk=2**20)(layout).logps.sum(-1)
    except Exception as error:  # a model's own code raises what it likes; all of it is a mismatch
        first = next(iter(str(error).splitlines()), "")
        return f"the {name} layout raised {type(error).__name__}: {first}"
    worst = (seen - oracle).abs().max().item()
    allowed = EXACT if oracle.device.type == "cpu" else NEARLY_EXACT
    # not (<=): a NaN is a difference too
    return "" if worst <= allowed else f"the {name} layout is off by {worst:.2g} nats"
