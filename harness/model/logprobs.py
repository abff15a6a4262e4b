"""The one place where a model's outputs become log-probs of tokens.

`Scorer` is a module because DDP and FSDP hook only a module's forward. The model's own forward runs
unchanged, output transforms (soft caps, logit scales) included; only the positions that predict a scored
token pass its head, some at a time, so logits of prompt tokens are never made and memory is bounded by a
chunk, whatever the vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast

from harness.compute import ranks
from harness.model.attention import attending
from harness.model.layout import Layout
from harness.model.products_bf16 import LOW, MixedPrecision
from harness.model.products_fp32 import FullPrecision

# Logits of a chunk of the head: 67 M numbers are 1,365 tokens of a vocabulary of 49,152 and 441 of 152,000, in bf16
# a quarter of a GiB with their gradient. Smaller chunks are computed twice, which took 6 % of a step.
CHUNK_LOGITS = 2**26
# Of them, those whose fp32 log-softmax exists at a time: on a CPU it stays in the processor's cache.
BLOCK_LOGITS = {"cpu": 2**20, "cuda": 2**24}

# What a loss may ask for besides log-probs, from the logits of each scored position ([m, vocabulary] nats,
# normalised) -> [m], without gradient.
STATISTICS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "log_sum_p2": lambda logps: torch.logsumexp(2 * logps, -1),  # WPO, arXiv:2406.11827
}


class Scored(NamedTuple):
    """logps: [N, T] nats, fp32, zero where nothing is scored. stats: name -> [N, T], without gradient."""

    logps: Tensor
    stats: dict[str, Tensor]


class Scorer(nn.Module):
    """Layout -> log-probs of its scored tokens.

    precision: "fp32", or "bf16" for bf16 products over fp32 weights; the log-softmax is fp32 in both.
    chunk: logits that exist at a time. recompute: keep only each layer's input for the backward pass.
    """

    def __init__(
        self, model: nn.Module, precision: str = "fp32", *, chunk: int = CHUNK_LOGITS, recompute: bool = False
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.model = model
        self.chunk = chunk
        self._precision = _products(model, precision)

    def forward(self, layout: Layout, stats: Sequence[str] = ()) -> Scored:
        """Log-probs of the layout's scored tokens, nats [N, T], and the statistics asked for at the same places."""
        hidden = self.hidden(layout)
        size = max(1, self.chunk // self.model.get_output_embeddings().weight.shape[0])
        places = layout.targets.split(size)
        parts = []
        for states, targets in zip(hidden.split(size), places, strict=True):
            # One chunk is kept for the backward pass; of several, each is computed again there.
            if len(places) > 1 and torch.is_grad_enabled():
                parts.append(checkpoint(self._chunk, states, targets, stats, use_reentrant=False))
            else:
                parts.append(self._chunk(states, targets, stats))
        logps, *columns = (torch.cat(column) for column in zip(*parts, strict=True))
        return Scored(
            _scattered(logps, layout), {n: _scattered(c, layout) for n, c in zip(stats, columns, strict=True)}
        )

    def hidden(self, layout: Layout) -> Tensor:
        """[M, hidden]: what the head would see at the predicting positions, from a full pass of the model."""
        seen: list[Tensor] = []

        def select(head: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            states = inputs[0]
            seen.append(states.reshape(-1, states.shape[-1]).index_select(0, layout.where))
            return (states[:, :0], *inputs[1:])  # no logits yet

        hook = self.model.get_output_embeddings().register_forward_pre_hook(select)
        try:
            with self._computing(layout) as mask, self._recomputing(layout):
                self.model(
                    input_ids=layout.input_ids, attention_mask=mask, position_ids=layout.position_ids, use_cache=False
                )
        finally:
            hook.remove()
        return seen[0]

    def _chunk(self, states: Tensor, targets: Tensor, stats: Sequence[str]) -> tuple[Tensor, ...]:
        """Log-probs [m] of the targets after hidden states [m, hidden], then each statistic [m]."""
        with self._precision(states.device.type), _decoder_returns(self.model, states.unsqueeze(0)):
            logits = self.model(input_ids=targets.unsqueeze(0), use_cache=False).logits.squeeze(0)
        return _TokenLogProbs.apply(logits, targets, stats)

    @contextlib.contextmanager
    def _computing(self, layout: Layout) -> Iterator[Any]:
        """What a pass of the model runs under; yields its attention mask."""
        with self._precision(layout.input_ids.device.type), attending(self.model, layout) as mask:
            yield mask

    def _recomputing(self, layout: Layout) -> contextlib.AbstractContextManager[None]:
        if self.recompute and torch.is_grad_enabled():
            return recomputing(self.model, lambda: self._computing(layout))
        return contextlib.nullcontext()


def _products(model: nn.Module, precision: str) -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """The products of a pass on a device. Sharded weights are other tensors in each pass, so that no bf16 copy of
    them can be kept and no gradient be written past autograd: there they are torch's, in bf16 by autocast."""
    if ranks.sharded():
        return partial(torch.autocast, dtype=LOW, enabled=precision == "bf16")
    return MixedPrecision(model) if precision == "bf16" else FullPrecision(model)


class _TokenLogProbs(torch.autograd.Function):
    """Logits [m, V] and targets [m] -> log-probs [m] nats, fp32, and each statistic [m], without gradient.

    The log-softmax exists for a block of rows at a time, in both passes: what is kept in between are the logits. They
    are kept by `save_for_backward`, because a checkpointed chunk can throw away nothing else.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, stats: Sequence[str]) -> tuple[Tensor, ...]:
        ctx.save_for_backward(logits, targets)
        parts = []
        for rows, ids in zip(_blocks(logits), _blocks(logits, targets), strict=True):
            every = rows.float().log_softmax(-1)
            own = every.gather(1, ids[:, None]).squeeze(1)
            parts.append((own, *(STATISTICS[name](every) for name in stats)))
        logps, *columns = (torch.cat(column) for column in zip(*parts, strict=True))
        ctx.mark_non_differentiable(*columns)
        return (logps, *columns)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:
        logits, targets = ctx.saved_tensors
        result = torch.empty_like(logits)
        columns = (targets, gradient, result)
        for rows, ids, own, place in zip(_blocks(logits), *(_blocks(logits, c) for c in columns), strict=True):
            # d log p(target) / d logits = onehot(target) - softmax
            every = rows.float().softmax(-1).mul_(-own[:, None])
            place.copy_(every.scatter_add_(1, ids[:, None], own[:, None]))
        return result, None, None


def _blocks(logits: Tensor, column: Tensor | None = None) -> Sequence[Tensor]:
    """The rows of logits [m, V], or what a column [m, ...] has for each of them, a block at a time."""
    size = BLOCK_LOGITS.get(logits.device.type, CHUNK_LOGITS) // logits.shape[1]
    return (logits if column is None else column).split(max(1, size))


class _Decoded(BaseModelOutputWithPast):
    """A decoder's output: hidden states, and None for whatever else an architecture hands on (caches, routing)."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


@contextlib.contextmanager
def _decoder_returns(model: nn.Module, states: Tensor) -> Iterator[None]:
    """Within the block the model applies what follows its decoder (head and output transforms) to `states`."""
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = getattr(model, model.base_model_prefix)
    decoder.forward = lambda *args, **kwargs: _Decoded(last_hidden_state=states)
    try:
        yield
    finally:
        del decoder.forward


def _scattered(values: Tensor, layout: Layout) -> Tensor:
    """[M] -> [N, T], zero elsewhere."""
    shape = layout.mask.shape
    return values.new_zeros(shape.numel()).scatter(0, layout.place, values).view(shape)


@contextmanager
def recomputing(model: nn.Module, context: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """Within the block, layers keep their inputs alone; `context` is what they are computed again under.

    Raises: ValueError for a model whose layers cannot be told apart.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ValueError(
            f"activation_checkpointing=true: {type(model).__name__} has no layers that transformers can checkpoint; "
            "leave it out"
        )
    for layer in layers:
        layer.forward = partial(
            checkpoint,
            layer.forward,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), context()),
        )
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
