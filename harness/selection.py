"""Which rows train, in which order, and which are held out: pure functions of ids and seeds.

There is no generator to advance: each choice is a sort by a hash of (purpose, seed, epoch, id), so a
cache, an evaluation or a resumed run cannot change it, and every loss sees the same rows, in the same
order, in the same batches.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from harness.layout import Item
from harness.tokens import Row
from suites import Example, Pair


def rank(purpose: str, *key: object) -> Callable[[Row], str]:
    """A sort key for rows that looks random and is the same everywhere."""
    prefix = "/".join(map(str, (purpose, *key)))
    return lambda row: hashlib.sha256(f"{prefix}/{row.id}".encode()).hexdigest()


Shares = Mapping[str, float]  # source of a mixture -> its weight


def draw(
    pool: Sequence[Row], count: int, seed: int, shares: Shares | None = None, *, balance: bool = False
) -> list[Row]:
    """The training rows of a seed, in canonical order; where the pool has no more, all of it.

    shares:  take exact counts from each source of a mixture.
    balance: take as many pairs whose chosen answer is longer as pairs whose chosen answer is shorter.
    A smaller draw is a part of a larger one: each group of rows has one order, from which the first are taken.
    """
    order = sorted(pool, key=rank("draw", seed))
    sides = _sides(order, balance)
    drawn = [row for side in sides for row in _first(side, count // len(sides), shares)]
    return sorted(drawn, key=rank("row"))


def largest_draw(rows: Sequence[Row], asked: int, shares: Shares | None = None, *, balance: bool = False) -> int:
    """The largest number of rows, up to `asked`, that a draw can give."""
    sides = _sides(rows, balance)
    return len(sides) * min(_most(side, asked // len(sides), shares) for side in sides)


def held_out(rows: Sequence[Row], count: int, shares: Shares | None = None) -> list[Row]:
    """The evaluation rows: the same for every seed, so that two numbers are of the same rows."""
    return sorted(_first(sorted(rows, key=rank("row")), count, shares), key=rank("row"))


def apportion(count: int, shares: Shares) -> dict[str, int]:
    """`count` seats by weight: whole quotas, then one each to the largest remainders (Hamilton's method)."""
    weights = {name: Fraction(str(weight)) for name, weight in shares.items()}
    quotas = {name: count * weight / sum(weights.values()) for name, weight in weights.items()}
    seats = {name: math.floor(quota) for name, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda name: seats[name] - quotas[name])
    for name in by_remainder[: count - sum(seats.values())]:
        seats[name] += 1
    return seats


def _sides(rows: Sequence[Row], balance: bool) -> list[list[Row]]:
    """The groups of rows that a draw takes equal numbers from; answers of equal length are on no side."""
    if not balance:
        return [list(rows)]
    gaps = [(len(row.answers[0]) - len(row.answers[1]), row) for row in rows]
    return [[row for gap, row in gaps if gap > 0], [row for gap, row in gaps if gap < 0]]


def _first(order: Sequence[Row], count: int, shares: Shares | None) -> list[Row]:
    """The first rows of an order: of all, or of each source its part of the count."""
    if shares is None:
        return list(order[:count])
    by_source = _by_source(order, shares)
    return [row for name, seats in apportion(count, shares).items() for row in by_source[name][:seats]]


def _most(rows: Sequence[Row], asked: int, shares: Shares | None) -> int:
    """The largest count up to `asked` of which every source can give its part."""
    if shares is None:
        return min(asked, len(rows))
    have = {name: len(found) for name, found in _by_source(rows, shares).items()}
    total = sum(shares.values())
    # Seats are less than one away from their quota, so no source reaches beyond these.
    count = min(asked, *(math.ceil((have[name] + 1) * total / shares[name]) for name in shares))
    while any(seats > have[name] for name, seats in apportion(count, shares).items()):
        count -= 1
    return count


def _by_source(rows: Sequence[Row], shares: Shares) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {name: [] for name in shares}
    for row in rows:
        found[row.source].append(row)
    return found


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
