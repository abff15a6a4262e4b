"""Memory of one cell from a model's configuration alone: weights, reference, gradients, optimizer, activations.

Bytes of a parameter: here weights and gradients are fp32 (4 and 4) with AdamW's two fp32 moments (8), and bf16
training keeps a bf16 copy of the weights beside them (2). The usual two-model setting holds everything but the
moments in bf16: 70e9 parameters are then 140 GB of policy, 140 of reference, 140 of gradients and 560 of AdamW,
980 GB in all, and 840 where the reference's log-probs are stored and its model is not kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.model.logprobs import CHUNK_LOGITS
from harness.model.sources import empty_model
from harness.options.optimizers import DEFAULT, OPTIMIZERS
from harness.training.micro_batches import feed_forward

# Bytes that a token leaves for the backward pass in a layer, for each number of its hidden and of its feed-forward
# state: counted over the tensors that autograd keeps of a llama's packed rows (tests/harness/sweeps/test_footprint.py).
KEPT = {"fp32": (52, 18), "bf16": (35, 9)}
BYTES_LOGIT = {"fp32": 8, "bf16": 4}  # of each logit of a chunk, with its gradient


@dataclass(frozen=True)
class Shape:
    """A model's sizes: parameters in all and in an adapter on it, numbers of a token's states, vocabulary."""

    parameters: int
    adapter: int
    hidden: int
    feed_forward: int
    layers: int
    vocabulary: int


class Footprint(NamedTuple):
    """Bytes on one device."""

    policy: float
    reference: float
    gradients: float
    optimizer: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        """All of it together, bytes."""
        return sum(self)


def shape(folder: Path, rank: int) -> Shape:
    """The sizes of a folder's model, no weights read; `rank` is the adapter's, on every linear layer but the head."""
    model = empty_model(folder)
    config, head = model.config.get_text_config(), model.get_output_embeddings()
    linear = [m for m in model.modules() if m is not head and type(m).__name__ in ("Linear", "Conv1D")]
    return Shape(
        parameters=sum(p.numel() for p in model.parameters()),
        adapter=rank * sum(sum(m.weight.shape) for m in linear),
        hidden=config.hidden_size,
        feed_forward=feed_forward(config),
        layers=config.num_hidden_layers,
        vocabulary=config.vocab_size,
    )


def footprint(
    model: Shape,
    *,
    tuning: str = "full",
    weight_bytes: int = 4,
    copy_bytes: int = 0,
    second_model: bool = False,
    precision: str = "bf16",
    optimizer: str = DEFAULT,
    tokens: int = 0,
    checkpointing: bool = False,
    devices: int = 1,
) -> Footprint:
    """What a cell holds on each of `devices`, over which all but activations and logits are sharded.

    weight_bytes:  of a weight and of its gradient; adapters are fp32 always.
    copy_bytes:    of each weight's copy in the training precision.
    second_model:  the reference is kept as a model of its own. An adapter's reference is the model without it.
    precision:     of training. tokens: of a micro-batch.
    checkpointing: only the inputs of the layers are kept for the backward pass.
    """
    full = tuning == "full"
    trained = model.parameters if full else model.adapter
    of_hidden, of_feed_forward = KEPT[precision]
    layer = of_hidden * model.hidden + of_feed_forward * model.feed_forward
    kept = tokens * (layer + 4 * model.hidden * model.layers if checkpointing else layer * model.layers)
    return Footprint(
        policy=((weight_bytes + copy_bytes) * model.parameters + (0 if full else 4 * model.adapter)) / devices,
        reference=weight_bytes * model.parameters / devices if second_model and full else 0,
        gradients=(weight_bytes if full else 4) * trained / devices,
        optimizer=OPTIMIZERS[optimizer].state_bytes * trained / devices,
        activations=kept,
        logits=BYTES_LOGIT[precision] * min(CHUNK_LOGITS, tokens * model.vocabulary),
    )


def gigabytes(count: float) -> str:
    """Bytes as GB (10^9) at three digits, for a table."""
    value = count / 1e9
    return f"{value:.{max(0, 2 - int(math.log10(value)) if value >= 1 else 2)}f}"
