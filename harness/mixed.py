"""bf16 products over fp32 weights, without the casts that autocast repeats.

Autocast casts every weight in every forward pass, casts its gradient back in every backward pass and each
input once for every map that reads it. The weights of a step do not change between its micro-batches, so
here each has one bf16 copy, made anew when it was updated; the bf16 gradient of a micro-batch is added into
the fp32 gradient directly; and an input that several maps read is cast once. The products, and what is kept
in fp32 (weights, sums of gradients, norms, the residual stream, the softmax), are those of autocast; only
the gradients that several maps send back to their common input are summed in bf16.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOW = torch.bfloat16


class _Linear(torch.autograd.Function):
    """x [..., in] bf16 -> [..., out] bf16; the weight's gradient goes straight into `weight.grad`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, low: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.weight, ctx.low, ctx.has_bias = weight, low, bias is not None
        return F.linear(x, low, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        (x,) = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        if ctx.weight.requires_grad:
            _add_gradient(ctx.weight, flat.t() @ x.reshape(-1, x.shape[-1]))
        down = gradient @ ctx.low if ctx.needs_input_grad[0] else None
        return down, None, flat.sum(0) if ctx.has_bias else None, None


class _Embedding(torch.autograd.Function):
    """ids [...] -> rows of the fp32 weight; the gradient is added to the rows that were read, to no others."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, padding: int | None) -> Tensor:
        ctx.weight, ctx.padding = weight, padding
        ctx.save_for_backward(ids)
        return F.embedding(ids, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        ids, rows = ctx.saved_tensors[0].flatten(), gradient.reshape(-1, gradient.shape[-1])
        if ctx.padding is not None:  # as torch does: the padding row does not learn
            kept = ids != ctx.padding
            ids, rows = ids[kept], rows[kept]
        if ctx.weight.grad is None:
            ctx.weight.grad = torch.zeros_like(ctx.weight)
        ctx.weight.grad.index_add_(0, ids, rows)
        return None, None, None


def _add_gradient(weight: Tensor, gradient: Tensor) -> None:
    if weight.grad is None:
        weight.grad = gradient.to(weight.dtype)
    else:
        weight.grad.add_(gradient)


class MixedPrecision:
    """Puts the bf16 products under the linear maps of a model, for the time of a forward pass."""

    def __init__(self, model: nn.Module) -> None:
        self._maps = [m for m in model.modules() if type(m) is nn.Linear]
        self._embeddings = [
            m for m in model.modules() if type(m) is nn.Embedding and m.max_norm is None and not m.scale_grad_by_freq
        ]
        self._copies: dict[int, tuple[int, Tensor, Tensor]] = {}
        self._last: tuple[Tensor, Tensor] | None = None

    @contextmanager
    def __call__(self, device: str) -> Iterator[None]:
        """A forward pass inside the block computes as described above; its backward pass may be outside."""
        for module in self._maps:
            module.forward = partial(self._linear, module)
        for module in self._embeddings:
            module.forward = partial(_embedding, module)
        try:
            with torch.autocast(device, dtype=LOW):
                yield
        finally:
            self._last = None
            for module in (*self._maps, *self._embeddings):
                del module.forward

    def _linear(self, module: nn.Linear, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            bias = None if module.bias is None else module.bias.to(LOW)
            return _Linear.apply(self._low(x), module.weight, bias, self._copy(module.weight))

    def _low(self, x: Tensor) -> Tensor:
        """The bf16 form of an input; query, key and value maps read the same one."""
        if x.dtype == LOW:
            return x
        if self._last is None or self._last[0] is not x:
            self._last = (x, x.to(LOW))
        return self._last[1]

    def _copy(self, weight: Tensor) -> Tensor:
        """The weight in bf16, made again where the weight was written to since.

        Writes are what torch counts as such: after a fused optimizer step, the loop counts it up itself.
        """
        version, _, low = self._copies.get(id(weight), (None, None, None))
        if version != weight._version:
            low = weight.detach().to(LOW)
            self._copies[id(weight)] = (weight._version, weight, low)
        return low


def _embedding(module: nn.Embedding, ids: Tensor) -> Tensor:
    return _Embedding.apply(module.weight, ids, module.padding_idx)
