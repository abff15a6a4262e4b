"""bf16 products over fp32 weights, without the casts that autocast repeats.

Autocast casts every weight in every forward pass, casts its gradient back in every backward pass and each
input once for every map that reads it. The weights of a step do not change between its micro-batches, so
here each has one bf16 copy, made anew when it was updated; the bf16 gradient of a micro-batch is added into
the fp32 gradient directly; and an input that several maps read is cast once. The products, and what is kept
in fp32 (weights, sums of gradients, norms, the residual stream, the softmax), are those of autocast; only
the gradients that several maps send back to their common input are summed in bf16, and an adapter's product
is added to that of the map under it before it is rounded.

Weights are rounded to bf16 in another way than autocast's. To the nearest, an update below half a unit (1/512 of a
weight) either does nothing (weights of a bf16 checkpoint, for many steps at the learning rates of preference
optimization), or, where fp32 weights come from fewer bits and many lie halfway between two bf16 numbers, moves those by
a whole unit, however small it was. Here every entry has a threshold of its own, the same all the time, at which it is
rounded up: a small update moves as large a share of the entries, so that the products follow the fp32 weights at any
learning rate (a fixed dither; Roberts 1962, IRE Transactions on Information Theory 8). Weights that are bf16 numbers
stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOW = torch.bfloat16
PERIOD = 2**16  # entries after which the thresholds of a tensor come again
ROWS_AT_ONCE = 16  # of PERIOD entries on a CPU: what is computed on the way stays in its cache


@torch.no_grad()
def rounded(weight: Tensor, out: Tensor | None = None) -> Tensor:
    """bf16 of fp32 [...], each entry up or down by its threshold, in the mean over entries without a shift.

    out: an earlier result for this weight, which is written over.

    A bf16 number is the upper half of an fp32 one, so a threshold is what is added to the lower half before it is cut.
    """
    if weight.dtype != torch.float32:
        return weight.to(LOW)
    low = torch.empty(weight.shape, dtype=LOW, device=weight.device) if out is None else out
    bits, halves = weight.contiguous().view(-1).view(torch.int32), low.view(-1).view(torch.int16)
    thresholds, whole = _thresholds(weight.device), bits.numel() // PERIOD * PERIOD
    step = ROWS_AT_ONCE if weight.device.type == "cpu" else max(whole // PERIOD, 1)
    rows, cut = bits[:whole].view(-1, PERIOD).split(step), halves[:whole].view(-1, PERIOD).split(step)
    for source, target in zip(rows, cut, strict=True):
        target.copy_((source + thresholds).bitwise_right_shift_(16))
    rest = bits[whole:]
    halves[whole:].copy_((rest + thresholds[: rest.numel()]).bitwise_right_shift_(16))
    return low


@cache
def _thresholds(device: torch.device) -> Tensor:
    """One number below 2^16 for each of PERIOD entries."""
    drawn = torch.randint(0, 2**16, (PERIOD,), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    return drawn.to(device)


class _Copy:
    """A bf16 copy as a forward pass read it. Raises: RuntimeError where it was written over since, as torch does."""

    def __init__(self, low: Tensor) -> None:
        self._low, self._version = low, low._version

    def __call__(self) -> Tensor:
        if self._low._version != self._version:
            raise RuntimeError("the weights were updated between this forward pass and its backward pass")
        return self._low


class _Rounded(torch.autograd.Function):
    """`rounded`, with the gradient of what it stands for."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return rounded(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.float()


class _Linear(torch.autograd.Function):
    """x [..., in] bf16 -> [..., out] bf16; the weight's gradient goes straight into `weight.grad`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, low: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.weight, ctx.low, ctx.has_bias = weight, _Copy(low), bias is not None
        return F.linear(x, low, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        (x,) = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        if ctx.weight.requires_grad:
            _add_gradient(ctx.weight, flat.t() @ x.reshape(-1, x.shape[-1]))
        down = gradient @ ctx.low() if ctx.needs_input_grad[0] else None
        return down, None, flat.sum(0) if ctx.has_bias else None, None


class _Adapted(torch.autograd.Function):
    """x [..., in] bf16 -> x W' + (scale x A') B' [..., out] bf16, of a frozen weight W under an adapter A, B.

    peft's own forward pass reads and writes [..., out] for the product with B, for the scale and for the sum, and casts
    the input to fp32 and back; here the second product is added where the first one lies, and rounded once.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor | None, low: Tensor, adapter: Sequence[Tensor], scale: float, *weights: Tensor
    ) -> Tensor:
        flat, (down, up) = x.reshape(-1, x.shape[-1]), adapter
        inner = F.linear(flat, down).mul_(scale)
        ctx.save_for_backward(flat, inner)
        ctx.low, ctx.adapter = _Copy(low), [_Copy(one) for one in adapter]
        ctx.scale, ctx.weights = scale, weights
        return F.linear(flat, low, bias).addmm_(inner, up.t()).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (flat, inner), (down, up) = ctx.saved_tensors, (copy() for copy in ctx.adapter)
        own = gradient.reshape(-1, gradient.shape[-1])
        back = (own @ up).mul_(ctx.scale)
        for weight, left, right in zip(ctx.weights, (back, own), (flat, inner), strict=True):
            if weight.requires_grad:
                _add_gradient(weight, left.t() @ right)
        x = None
        if ctx.needs_input_grad[0]:
            x = (own @ ctx.low()).addmm_(back, down).view(*gradient.shape[:-1], -1)
        return x, None, None, None, None, None, None


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
        self._adapted = [m for m in model.modules() if _is_adapted(m)]
        self._copies: dict[int, tuple[int, Tensor, Tensor]] = {}
        self._last: tuple[Tensor, Tensor] | None = None

    # All copies are made before the pass, and over the earlier ones: what lasts lies together, and not between the
    # tensors that a pass frees, whose room would be lost to the larger ones of another pass.
    @contextmanager
    def __call__(self, device: str) -> Iterator[None]:
        """A forward pass inside the block computes as described above; its backward pass may be outside."""
        for module in self._maps:
            self._copy(module.weight)
        for module in self._maps:
            module.forward = partial(self._linear, module)
        for module in self._adapted:
            module.forward = partial(self._adapted_linear, module)
        for module in self._embeddings:
            module.forward = partial(_embedding, module)
        try:
            with torch.autocast(device, dtype=LOW):
                yield
        finally:
            self._last = None
            for module in (*self._maps, *self._adapted, *self._embeddings):
                del module.forward

    def _linear(self, module: nn.Linear, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            bias = None if module.bias is None else _Rounded.apply(module.bias)
            return _Linear.apply(self._low(x), module.weight, bias, self._copy(module.weight))

    def _adapted_linear(self, module: Any, x: Tensor) -> Tensor:
        """peft's linear map with its one adapter; switched off, it is what lies under it."""
        base, name = module.base_layer, module.active_adapters[0]
        if module.disable_adapters:
            return self._linear(base, x)
        with torch.autocast(x.device.type, enabled=False):
            adapter = module.lora_A[name].weight, module.lora_B[name].weight
            bias = None if base.bias is None else _Rounded.apply(base.bias)
            copies = self._copy(base.weight), [self._copy(weight) for weight in adapter]
            return _Adapted.apply(self._low(x), bias, *copies, module.scaling[name], *adapter)

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
            low = rounded(weight.detach(), low)
            self._copies[id(weight)] = (weight._version, weight, low)
        return low


def _embedding(module: nn.Embedding, ids: Tensor) -> Tensor:
    return _Embedding.apply(module.weight, ids, module.padding_idx)


def _is_adapted(module: Any) -> bool:
    """Whether a module is peft's plain LoRA over a frozen map, with one adapter and nothing merged."""
    if not isinstance(getattr(module, "lora_A", None), nn.ModuleDict) or type(module.base_layer) is not nn.Linear:
        return False
    names, base = list(module.lora_A), module.base_layer
    return (
        len(names) == 1
        and list(module.active_adapters) == names
        and not module.merged
        and not module.lora_variant
        and not any(own.requires_grad for own in base.parameters())
        and not isinstance(module.lora_dropout[names[0]], nn.Dropout)
        and module.lora_A[names[0]].bias is None
        and module.lora_B[names[0]].bias is None
    )
