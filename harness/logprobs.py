"""The one place where a model's outputs become log-probs of tokens.

`Scorer` is a module because DDP and FSDP hook only a module's forward. The model's own forward runs
unchanged, output transforms (soft caps, logit scales) included; only the positions that predict a scored
token pass its head, so logits of prompt tokens are never made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.layout import LAYOUTS, Item, Layout

# Architectures whose attention takes the shared layout's mask as it is: causal, no window, no ALiBi, no
# recurrence, position ids honoured. `check_layout` measures it anyway before it is used.
SHARED_LAYOUT = ("llama", "qwen3", "gpt_neox", "gpt2", "phi3", "olmo2", "mixtral", "qwen2", "mistral")

# Allowed difference (nats, a sequence) of two ways to compute the same fp32 log-probs. Off the CPU, kernels
# differ by shape; a wrong mask is off by a tenth of a nat and more.
EXACT = 1e-3
NEARLY_EXACT = 5e-2
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


class Scorer(nn.Module):
    """Layout -> [N, T] log-probs in nats, fp32, zero where nothing is scored.

    precision: "fp32", or "bf16" for autocast over fp32 weights; the log-softmax is fp32 in both.
    """

    def __init__(self, model: nn.Module, precision: str = "fp32") -> None:
        super().__init__()
        self.model = model
        self.dtype = PRECISIONS[precision]

    def forward(self, layout: Layout) -> Tensor:
        device = layout.input_ids.device.type
        with _only(self.model, layout.where), self._autocast(device):
            output = self.model(
                input_ids=layout.input_ids,
                attention_mask=layout.attention_mask,
                position_ids=layout.position_ids,
                use_cache=False,
            )
        # Cross-entropy of one class is the negative log-softmax at it, without a copy of the log-softmax.
        logps = -nn.functional.cross_entropy(output.logits[0].float(), layout.targets, reduction="none")
        shape = layout.mask.shape
        return logps.new_zeros(shape.numel()).scatter(0, layout.place, logps).view(shape)

    def _autocast(self, device: str) -> contextlib.AbstractContextManager:
        return torch.autocast(device, dtype=self.dtype, enabled=self.dtype is not None)


@contextlib.contextmanager
def _only(model: nn.Module, where: Tensor) -> Iterator[None]:
    """Within the block the model's head sees the hidden states at `where` alone: [1, M, hidden]."""

    def select(head: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden = inputs[0]
        return (hidden.reshape(-1, hidden.shape[-1]).index_select(0, where).unsqueeze(0), *inputs[1:])

    hook = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()


class LayoutCheck(NamedTuple):
    """The layout to use, and why it is not the faster one where it is not."""

    layout: str
    reason: str


@torch.no_grad()
def stock_logps(model: nn.Module, item: Item) -> Tensor:
    """[answers] nats: the oracle. One answer at a time, from `model(input_ids, attention_mask).logits`."""
    device = next(model.parameters()).device
    sums = []
    for answer in item.answers:
        ids = torch.tensor([[*item.prompt, *answer]], device=device)
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].float()
        logps = logits.log_softmax(-1)[len(item.prompt) - 1 : -1]
        sums.append(logps.gather(1, ids[0, len(item.prompt) :, None]).sum())
    return torch.stack(sums)


def check_layout(model: nn.Module, items: Sequence[Item], *, wanted: str, pad: int) -> LayoutCheck:
    """Tries the layout on `items` (among them the longest row) against the stock model.

    wanted: "auto" or "shared" try the shared layout and fall back to the plain one; "plain" tries it alone.
    Raises: RuntimeError where even the plain layout differs from the stock model.
    """
    oracle = torch.cat([stock_logps(model, item) for item in items])
    reason = ""
    kind = getattr(model.config, "model_type", "?")
    if wanted != "plain":
        reason = _unsuitable(model) or _difference(model, items, "shared", oracle, pad)
        if not reason:
            return LayoutCheck("shared", "")
    failure = _difference(model, items, "plain", oracle, pad)
    if failure:
        raise RuntimeError(
            f"the log-probs of model type '{kind}' differ from its own logits: {failure}; "
            "this model cannot be measured here"
        )
    return LayoutCheck("plain", reason)


def _unsuitable(model: nn.Module) -> str:
    config = model.config
    kind = getattr(config, "model_type", "?")
    if kind not in SHARED_LAYOUT:
        return f"model type '{kind}' is not known to take the shared layout"
    windowed = [t for t in getattr(config, "layer_types", None) or [] if t != "full_attention"]
    if windowed or (kind in ("mistral", "mixtral") and getattr(config, "sliding_window", None)):
        return f"model type '{kind}' has sliding-window layers"
    if config._attn_implementation != "sdpa":
        return f"attention implementation '{config._attn_implementation}' takes no boolean mask"
    return ""


@torch.no_grad()
def _difference(model: nn.Module, items: Sequence[Item], name: str, oracle: Tensor, pad: int) -> str:
    """Why this layout cannot be used: empty where it agrees with the oracle to `EXACT`."""
    try:
        layout = LAYOUTS[name](items, pad=pad).to(oracle.device)
        seen = Scorer(model)(layout).sum(-1)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return f"the {name} layout raised {type(error).__name__}: {error}"
    worst = (seen - oracle).abs().max().item()
    # not (<=): a NaN is a difference too
    allowed = EXACT if oracle.device.type == "cpu" else NEARLY_EXACT
    return "" if worst <= allowed else f"the {name} layout is off by {worst:.2g} nats"
