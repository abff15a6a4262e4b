"""fp32 products on a CPU by oneDNN.

torch gives fp32 linear maps on a CPU to MKL, which on processors that Intel did not make reaches less than half of
the rate of oneDNN, the library that torch uses for bf16: 200 against 440 GF/s on two cores of an AMD EPYC with
AVX-512, at the shapes of a 135M model. The sums are the same, in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The operator that torch's own compiler puts under fp32 maps on a CPU; absent from builds without oneDNN.
_PRODUCT = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


class _Linear(torch.autograd.Function):
    """x [..., in] -> [..., out], all fp32; gradients by the same products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        down = product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        own = product(flat.t(), x.reshape(-1, x.shape[-1]).t()) if ctx.needs_input_grad[1] else None
        return down, own, flat.sum(0) if ctx.has_bias else None


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., in] @ weight [out, in].T + bias as fast as the device can; without gradient where oneDNN is taken."""
    # An expert without tokens: oneDNN multiplies nothing empty.
    if _PRODUCT is None or x.device.type != "cpu" or x.dtype != torch.float32 or not x.numel():
        return F.linear(x, weight, bias)
    return _PRODUCT(x, weight, bias, "none", [], "")


class FullPrecision:
    """Puts the products above under the linear maps of a model, for the time of a forward pass."""

    def __init__(self, model: nn.Module) -> None:
        self._maps = [m for m in model.modules() if type(m) is nn.Linear and m.weight.dtype == torch.float32]

    @contextmanager
    def __call__(self, device: str) -> Iterator[None]:
        """A forward pass inside the block; its backward pass may be outside."""
        maps = self._maps if device == "cpu" and _PRODUCT is not None else []
        for module in maps:
            module.forward = partial(_linear, module)
        try:
            yield
        finally:
            for module in maps:
                del module.forward


def _linear(module: nn.Linear, x: Tensor) -> Tensor:
    return _Linear.apply(x, module.weight, module.bias)
