"""Which rows train, in which order, and which are held out: pure functions of ids and seeds.

There is no generator to advance: each choice is a sort by a hash of (purpose, seed, epoch, id), so a
cache, an evaluation or a resumed run cannot change it, and every loss sees the same rows, in the same
order, in the same batches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.layout import Item
from harness.tokens import Row
from suites import Example, Pair
from suites.rows import Rows


def rank(purpose: str, *key: object) -> Callable[[Row], str]:
    """A sort key for rows that looks random and is the same everywhere."""
    of_id = _hashes(purpose, *key)
    return lambda row: of_id(row.id)


def _hashes(purpose: str, *key: object) -> Callable[[str], str]:
    prefix = "/".join(map(str, (purpose, *key)))
    return lambda row_id: hashlib.sha256(f"{prefix}/{row_id}".encode()).hexdigest()


def order(rows: Sequence[Row], purpose: str, *key: object) -> list[int]:
    """The places of the rows in the order of `rank(purpose, *key)`; no row is made for it."""
    return _sorted(ids_of(rows), _hashes(purpose, *key))


def _sorted(ids: Sequence[str], key: Callable[[str], str]) -> list[int]:
    return sorted(range(len(ids)), key=lambda place: key(ids[place]))


def ids_of(rows: Sequence[Row]) -> list[str]:
    """The rows' ids, from their column where they are kept in columns."""
    return rows.column("id").to_pylist() if isinstance(rows, Rows) else [row.id for row in rows]


def taken(rows: Sequence[Row], places: Sequence[int]) -> Sequence[Row]:
    """The rows at these places; of rows in columns a view."""
    return rows.take(places) if isinstance(rows, Rows) else [rows[place] for place in places]


def draw(pool: Sequence[Row], count: int, seed: int) -> Sequence[Row]:
    """The training rows of a seed, in canonical order; where the pool is no larger, all of it."""
    if len(pool) > count:
        pool = taken(pool, order(pool, "draw", seed)[:count])
    return taken(pool, order(pool, "row"))


def held_out(rows: Sequence[Row], count: int) -> Sequence[Row]:
    """The evaluation rows: the same for every seed, so that two numbers are of the same rows."""
    return taken(rows, order(rows, "row")[:count])


class Batch(NamedTuple):
    """One optimizer step's rows, in the order of the run."""

    step: int
    epoch: int
    rows: Sequence[Row]


def batches(rows: Sequence[Row], *, seed: int, epochs: int, batch_size: int) -> list[Batch]:
    """Every batch of a run; the last partial batch of an epoch is dropped."""
    result = []
    for epoch in range(epochs):
        places = order(rows, "order", seed, epoch)
        for start in range(0, len(places) - batch_size + 1, batch_size):
            result.append(Batch(len(result), epoch, taken(rows, places[start : start + batch_size])))
    return result


@dataclass(frozen=True, eq=False)
class Mismatched(Mapping[str, Item]):
    """Row id -> its prompt with an answer to another prompt; an item is made when it is asked for.

    partners: row id -> the row's place in the pool, the place of the row whose answer it is, and which of them.
    """

    pool: Sequence[Row]
    partners: Mapping[str, tuple[int, int, int]]

    def __getitem__(self, row_id: str) -> Item:
        place, partner, side = self.partners[row_id]
        row, other = taken(self.pool, [place, partner])
        return Item(row.prompt, (other.answers[side],))

    def __iter__(self) -> Iterator[str]:
        return iter(self.partners)

    def __len__(self) -> int:
        return len(self.partners)


def mismatched(pool: Sequence[Row], max_tokens: int) -> Mapping[str, Item]:
    """For each row of the pool its prompt with an answer to another prompt, for KTO's KL estimate.

    A fixed derangement: the next row in the order of id hashes whose first turn differs and whose answer
    fits, its side by the parity of the row's hash. Independent of seed and batch, so the reference store
    holds it. Rows without any partner are left out.
    """
    hashes = _hashes("mismatch")
    ids = ids_of(pool)
    sizes = [(row.cluster, len(row.prompt), tuple(map(len, row.answers))) for row in pool]
    places = order(pool, "mismatch")
    partners = {}
    for index, place in enumerate(places):
        parity = int(hashes(ids[place])[-1], 16) % 2
        cluster, prompt, _ = sizes[place]
        for partner in (places[(index + shift) % len(places)] for shift in range(1, len(places))):
            theirs, _, answers = sizes[partner]
            side = parity % len(answers)
            if theirs != cluster and prompt + answers[side] <= max_tokens:
                partners[ids[place]] = (place, partner, side)
                break
    return Mismatched(pool, partners)


def text_digest(rows: Iterable[Pair | Example]) -> str:
    """A digest of the rows' texts and labels in canonical order: what a cell's id knows of its data.

    The order is that of the lines that are hashed. They begin with the row's id, so sorting the ids is enough.
    """
    rows = rows if isinstance(rows, Rows) else list(rows)
    whole = hashlib.sha256()
    for number, row in enumerate(taken(rows, _sorted(ids_of(rows), json.dumps))):
        line = json.dumps(_content(row), sort_keys=True)
        whole.update(f"\n{line}".encode() if number else line.encode())
    return whole.hexdigest()


def _content(row: Pair | Example) -> list[object]:
    prompt = [[m.role, m.content] for m in row.prompt]
    if isinstance(row, Example):
        return [row.id, prompt, row.completion, row.desirable]
    return [row.id, prompt, row.chosen, row.rejected, row.score_chosen, row.score_rejected]
