"""How a layout reaches a model's attention: the mask of each implementation, or blocks of a packed row.

A mask must fit the attention that reads it, and some that do not fit give wrong numbers without an error: a
boolean mask is added by eager attention, no mask at all lets restarting positions cut a completion off its
prompt, and a mask without the window of a sliding-window layer shows only in rows longer than the window. So
the implementation is set here, together with the mask made for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.modeling_utils import AttentionInterface

from harness.model import tiles
from harness.model.layout import PADDING, SHARED_PREFIX, Layout, visible

FLEX = "packed_flex"  # under which transformers finds FlexAttention as it is called here

MaskOf = Callable[[int | None], Any]  # a window (None: unlimited) -> the mask under it


@contextmanager
def attending(model: nn.Module, layout: Layout) -> Iterator[Any]:
    """Yields the attention_mask to call the model with; the model attends accordingly inside the block."""
    config = model.config.get_text_config()
    if layout.kind == "plain":
        yield (layout.owners >= 0).long()
    elif layout.kind == "shared":
        yield masks(config, _dense(layout, config._attn_implementation))
    elif layout.input_ids.device.type == "cuda":
        with _implementation(config, FLEX):
            yield masks(config, lambda window: block_mask(layout, window))
    else:
        with _implementation(config, tiles.NAME), tiles.attending(layout):
            yield None


@contextmanager
def _implementation(config: Any, name: str) -> Iterator[None]:
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


def masks(config: Any, mask_of: MaskOf) -> Any | Mapping[str, Any]:
    """The mask under each window of the model: one, or one for each type of layer where it has types.

    Raises: ValueError for a type of layer whose mask is not known here.
    """
    window = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", True) is False:
        window = None
    types = dict.fromkeys(getattr(config, "layer_types", None) or ())
    if not types:
        return mask_of(window)
    windows = {"full_attention": None, "sliding_attention": window}
    unknown = [name for name in types if name not in windows]
    if unknown:
        raise ValueError(f"layers of type {', '.join(unknown)} take no mask of this kind")
    return {name: mask_of(windows[name]) for name in types}


def _dense(layout: Layout, implementation: str) -> MaskOf:
    """Boolean for sdpa, added to the scores for eager. Raises: ValueError for another implementation."""
    if implementation == "sdpa":
        return lambda window: visible(layout, window)
    if implementation == "eager":
        return lambda window: _additive(visible(layout, window))
    raise ValueError(f"attention implementation '{implementation}' takes no mask of this kind")


def _additive(seen: Tensor) -> Tensor:
    lowest = torch.finfo(torch.float32).min
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, lowest)


def block_mask(layout: Layout, window: int | None) -> Any:
    """The rule of `visible` for FlexAttention, which skips the blocks that it leaves empty."""
    from torch.nn.attention.flex_attention import create_block_mask

    length = layout.input_ids.shape[1]
    rule = mask_rule(layout, window)
    return create_block_mask(rule, B=None, H=None, Q_LEN=length, KV_LEN=length, device=layout.input_ids.device)


def mask_rule(layout: Layout, window: int | None) -> Callable[..., Tensor]:
    """FlexAttention's mask function (batch, head, query, key) -> bool over a packed row."""
    owners, segments, positions = (getattr(layout, name)[0] for name in ("owners", "segments", "position_ids"))

    def rule(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        distance = positions[query] - positions[key]
        seen = (
            ((owners[query] == owners[key]) | (owners[key] == SHARED_PREFIX))
            & (owners[query] != PADDING)
            & (distance >= 0)
        )
        seen = seen & ((segments[key] == 0) | (segments[key] == segments[query]))
        if window is not None:
            seen = seen & (distance < window)
        return seen | (query == key)

    return rule


def flex(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **others: Any
) -> tuple[Tensor, Tensor | None]:
    """transformers' FlexAttention with one type for all: in bf16 training, rotary positions leave fp32 behind."""
    return flex_attention_forward(module, query.to(value.dtype), key.to(value.dtype), value, attention_mask, **others)


AttentionInterface.register(FLEX, flex)
