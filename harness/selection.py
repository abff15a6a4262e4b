"""Which rows train, in which order, and which are held out: pure functions of ids and seeds.

There is no generator to advance: each choice is a sort by a hash of (purpose, seed, epoch, id), so a
cache, an evaluation or a resumed run cannot change it, and every loss sees the same rows, in the same
order, in the same batches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from harness.layout import Item
from harness.tokens import Row
from suites import Example, Pair


def rank(purpose: str, *key: object) -> Callable[[Row], str]:
    """A sort key for rows that looks random and is the same everywhere."""
    prefix = "/".join(map(str, (purpose, *key)))
    return lambda row: hashlib.sha256(f"{prefix}/{row.id}".encode()).hexdigest()


def draw(pool: Sequence[Row], count: int, seed: int) -> list[Row]:
    """The training rows of a seed, in canonical order; where the pool is no larger, all of it."""
    if len(pool) > count:
        pool = sorted(pool, key=rank("draw", seed))[:count]
    return sorted(pool, key=rank("row"))


def held_out(rows: Sequence[Row], count: int) -> list[Row]:
    """The evaluation rows: the same for every seed, so that two numbers are of the same rows."""
    return sorted(rows, key=rank("row"))[:count]


class Batch(NamedTuple):
    """One optimizer step's rows, in the order of the run."""

    step: int
    epoch: int
    rows: list[Row]


def batches(rows: Sequence[Row], *, seed: int, epochs: int, batch_size: int) -> list[Batch]:
    """Every batch of a run; the last partial batch of an epoch is dropped."""
    result = []
    for epoch in range(epochs):
        order = sorted(rows, key=rank("order", seed, epoch))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            result.append(Batch(len(result), epoch, order[start : start + batch_size]))
    return result


def mismatched(pool: Sequence[Row], max_tokens: int) -> dict[str, Item]:
    """For each row of the pool its prompt with an answer to another prompt, for KTO's KL estimate.

    A fixed derangement: the next row in the order of id hashes whose first turn differs and whose answer
    fits, its side by the parity of the row's hash. Independent of seed and batch, so the reference store
    holds it. Rows without any partner are left out.
    """
    key = rank("mismatch")
    order = sorted(pool, key=key)
    pairs = {}
    for index, row in enumerate(order):
        side = int(key(row)[-1], 16) % 2
        others = (order[(index + shift) % len(order)] for shift in range(1, len(order)))
        answers = (other.answers[side % len(other.answers)] for other in others if other.cluster != row.cluster)
        answer = next((a for a in answers if len(row.prompt) + len(a) <= max_tokens), None)
        if answer is not None:
            pairs[row.id] = Item(row.prompt, (answer,))
    return pairs


def text_digest(rows: Iterable[Pair | Example]) -> str:
    """A digest of the rows' texts and labels in canonical order: what a cell's id knows of its data."""
    lines = sorted(json.dumps(_content(row), sort_keys=True) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _content(row: Pair | Example) -> list[object]:
    prompt = [[m.role, m.content] for m in row.prompt]
    if isinstance(row, Example):
        return [row.id, prompt, row.completion, row.desirable]
    return [row.id, prompt, row.chosen, row.rejected, row.score_chosen, row.score_rejected]
