"""An optimizer batch cut into what memory holds at a time; the cut changes no gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.compute.machine import total_memory
from harness.data.tokens import Row, row_tokens
from harness.training.job import Job


def shares(rows: Sequence[Row], processes: int) -> list[list[Row]]:
    """A batch in order of length, cut into one even share of tokens for each process; a share may be empty."""
    order = _by_length(rows)
    found: list[list[Row]] = [[] for _ in range(processes)]
    whole, before = sum(map(row_tokens, order)), 0
    for row in order:
        middle = before + row_tokens(row) / 2
        found[int(middle * processes / whole)].append(row)
        before += row_tokens(row)
    return found


def split(rows: Sequence[Row], job: Job) -> list[list[Row]]:
    """Micro-batches of rows of like length, cut by number (`micro_batch`) or into even shares of tokens."""
    order = _by_length(rows)
    if not order:
        return []
    if job.micro_batch is not None:
        return [order[i : i + job.micro_batch] for i in range(0, len(order), job.micro_batch)]
    whole = _size(order, "packed")
    share = whole / math.ceil(whole / job.micro_tokens)
    micros: list[list[Row]] = []
    for row in order:
        if micros and _size(micros[-1], "packed") < share and _size([*micros[-1], row], job.layout) <= job.micro_tokens:
            micros[-1].append(row)
        else:
            micros.append([row])
    return micros


def _by_length(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row_tokens(row), row.id))


def _size(rows: Sequence[Row], layout: str) -> int:
    """Tokens that a micro-batch computes; the rows are in order of length."""
    if layout == "packed":
        return sum(map(row_tokens, rows))
    if layout == "plain":  # a row a completion, each with the prompt and all of one width
        return sum(len(row.completions) for row in rows) * max(row.length for row in rows)
    return len(rows) * row_tokens(rows[-1])


def smaller(job: Job, rows: Sequence[Row], processes: int = 1) -> Job | None:
    """The same job with half the micro-batch, after memory ran out; None where a row is alone already."""
    largest = max((micro for share in shares(rows, processes) for micro in split(share, job)), key=len)
    if len(largest) == 1:
        return None
    if job.micro_batch is not None:
        return replace(job, micro_batch=len(largest) // 2)
    return replace(job, micro_tokens=min(job.micro_tokens, _size(largest, job.layout)) // 2)


# Bytes of activations that a token leaves for the backward pass, for each layer: so many for each number of
# its hidden state and of its feed-forward state. Measured on a llama of 135M parameters in bf16 and in fp32.
BYTES_HIDDEN, BYTES_FEED_FORWARD = 40, 12
LARGEST_MICRO = {"cpu": 4096, "cuda": 65536, "mps": 4096}


def feed_forward(config: Any) -> int:
    """Numbers of a layer's feed-forward state."""
    text = config.get_text_config()
    return int(getattr(text, "intermediate_size", None) or 4 * text.hidden_size)


def micro_tokens(config: Any, device: str) -> int:
    """Tokens of a micro-batch whose activations fit into a quarter of the machine's memory, or half of a GPU's.

    On a CPU more than 2 GiB of them gain no speed. Not of the memory that is free: another cut of the batch
    moves the last bits of a gradient, and the same command shall give the same bits.
    """
    text = config.get_text_config()
    per_token = text.num_hidden_layers * (BYTES_HIDDEN * text.hidden_size + BYTES_FEED_FORWARD * feed_forward(config))
    memory, kind = total_memory(device), device.partition(":")[0]
    room = memory / 2 if kind == "cuda" else min(memory / 4, 2 * 2**30)
    return int(min(max(room / per_token, 256), LARGEST_MICRO[kind]))
