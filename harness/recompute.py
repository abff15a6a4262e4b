"""Activation checkpointing (arXiv:1604.06174): layers keep their inputs and compute the rest again.

transformers' own form runs only in training mode, which would also turn dropout on, and knows nothing of the
contexts under which a forward pass runs here (attention over a packed row, bf16 products).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


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
