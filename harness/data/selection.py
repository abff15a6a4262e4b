"""Which rows train, in which order, and which are held out: pure functions of ids and seeds.

There is no generator to advance: each choice is a sort by a hash of (purpose, seed, epoch, id), so a
cache, an evaluation or a resumed run cannot change it, and every loss sees the same rows, in the same
order, in the same batches.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

from harness.data.tokens import Row
from harness.model.layout import Item
from suites import Example, Pair
from suites.rows import Rows


def rank(purpose: str, *key: object) -> Callable[[Row], str]:
    """A sort key for rows that looks random and is the same everywhere."""
    of_id = _hashes(purpose, *key)
    return lambda row: of_id(row.id)


def _hashes(purpose: str, *key: object) -> Callable[[str], str]:
    prefix = "/".join(map(str, (purpose, *key)))
    return lambda row_id: hashlib.sha256(f"{prefix}/{row_id}".encode()).hexdigest()


Shares = Mapping[str, float]  # source of a mixture -> its weight


def order(rows: Sequence[Row], purpose: str, *key: object) -> list[int]:
    """The places of the rows in the order of `rank(purpose, *key)`; no row is made for it."""
    return _sorted(ids_of(rows), _hashes(purpose, *key))


def _sorted(ids: Sequence[str], key: Callable[[str], str]) -> list[int]:
    return sorted(range(len(ids)), key=lambda place: key(ids[place]))


def values_of(rows: Sequence[Any], name: str) -> list[Any]:
    """One field of all rows, from its column where they are kept in columns (a tuple is then a list)."""
    return rows.column(name).to_pylist() if isinstance(rows, Rows) else [getattr(row, name) for row in rows]


def ids_of(rows: Sequence[Row]) -> list[str]:
    """The rows' ids."""
    return values_of(rows, "id")


def taken(rows: Sequence[Row], places: Sequence[int]) -> Sequence[Row]:
    """The rows at these places; of rows in columns a view."""
    return rows.take(places) if isinstance(rows, Rows) else [rows[place] for place in places]


def draw(
    pool: Sequence[Row], count: int, seed: int, shares: Shares | None = None, *, balance: bool = False
) -> Sequence[Row]:
    """The training rows of a seed, in canonical order; where the pool has no more, all of it.

    shares:  take exact counts from each source of a mixture.
    balance: take as many pairs whose chosen completion is longer as pairs whose chosen completion is shorter.
    A smaller draw is a part of a larger one: each group of rows has one order, from which the first are taken. In a
    mixture of three sources and more that holds but for a row: a larger count can give a source one seat fewer
    (Hamilton's method, the Alabama paradox).
    """
    sides = _sides(pool, order(pool, "draw", seed), balance)
    drawn = taken(pool, [place for side in sides for place in _first(pool, side, count // len(sides), shares)])
    return taken(drawn, order(drawn, "row"))


def largest_draw(rows: Sequence[Row], asked: int, shares: Shares | None = None, *, balance: bool = False) -> int:
    """The largest number of rows, up to `asked`, that a draw can give."""
    sides = _sides(rows, range(len(rows)), balance)
    return len(sides) * min(_most(rows, side, asked // len(sides), shares) for side in sides)


def held_out(rows: Sequence[Row], count: int, shares: Shares | None = None) -> Sequence[Row]:
    """The evaluation rows: the same for every seed, so that two numbers are of the same rows."""
    kept = taken(rows, _first(rows, order(rows, "row"), count, shares))
    return taken(kept, order(kept, "row"))


def apportion(count: int, shares: Shares) -> dict[str, int]:
    """`count` seats by weight: whole quotas, then one each to the largest remainders (Hamilton's method)."""
    weights = {name: Fraction(str(weight)) for name, weight in shares.items()}
    quotas = {name: count * weight / sum(weights.values()) for name, weight in weights.items()}
    seats = {name: math.floor(quota) for name, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda name: seats[name] - quotas[name])
    for name in by_remainder[: count - sum(seats.values())]:
        seats[name] += 1
    return seats


def _sides(rows: Sequence[Row], places: Sequence[int], balance: bool) -> list[Sequence[int]]:
    """The groups of places that a draw takes equal numbers from; completions of equal length are on no side."""
    if not balance:
        return [places]
    gaps = [chosen - rejected for chosen, rejected in _completion_lengths(rows)]
    return [[place for place in places if gaps[place] > 0], [place for place in places if gaps[place] < 0]]


def _completion_lengths(rows: Sequence[Row]) -> list[tuple[int, ...]]:
    """Tokens of each row's completions; of rows in columns without making a row."""
    if not isinstance(rows, Rows):
        return [tuple(map(len, row.completions)) for row in rows]
    import pyarrow.compute

    completions = rows.column("completions")
    lengths = iter(pyarrow.compute.list_value_length(pyarrow.compute.list_flatten(completions)).to_pylist())
    return [tuple(islice(lengths, count)) for count in pyarrow.compute.list_value_length(completions).to_pylist()]


def _first(rows: Sequence[Row], places: Sequence[int], count: int, shares: Shares | None) -> Sequence[int]:
    """The first of some places: of all, or of each source its part of the count."""
    if shares is None:
        return places[:count]
    by_source = _by_source(rows, places, shares)
    return [place for name, seats in apportion(count, shares).items() for place in by_source[name][:seats]]


def _most(rows: Sequence[Row], places: Sequence[int], asked: int, shares: Shares | None) -> int:
    """The largest count up to `asked` of which every source can give its part."""
    if shares is None:
        return min(asked, len(places))
    have = {name: len(found) for name, found in _by_source(rows, places, shares).items()}
    total = sum(shares.values())
    # Seats are less than one away from their quota, so no source reaches beyond these.
    count = min(asked, *(math.ceil((have[name] + 1) * total / shares[name]) for name in shares))
    while any(seats > have[name] for name, seats in apportion(count, shares).items()):
        count -= 1
    return count


def _by_source(rows: Sequence[Row], places: Sequence[int], shares: Shares) -> dict[str, list[int]]:
    sources = values_of(rows, "source")
    found: dict[str, list[int]] = {name: [] for name in shares}
    for place in places:
        found[sources[place]].append(place)
    return found


@dataclass(frozen=True, eq=False)
class Mismatched(Mapping[str, Item]):
    """Row id -> its prompt with a completion of another prompt; an item is made when it is asked for.

    partners: row id -> the row's place in the pool, the place of the row whose completion it is, and which of them.
    """

    pool: Sequence[Row]
    partners: Mapping[str, tuple[int, int, int]]

    def __getitem__(self, row_id: str) -> Item:
        place, partner, side = self.partners[row_id]
        row, other = taken(self.pool, [place, partner])
        return Item(row.prompt, (other.completions[side],))

    def __iter__(self) -> Iterator[str]:
        return iter(self.partners)

    def __len__(self) -> int:
        return len(self.partners)


def mismatched(pool: Sequence[Row], max_tokens: int) -> Mapping[str, Item]:
    """For each row of the pool its prompt with a completion of another prompt, for KTO's KL estimate.

    A fixed derangement: the next row in the order of id hashes whose first turn differs and whose completion
    fits, its side by the parity of the row's hash. Independent of seed and batch, so the reference store
    holds it. Rows without any partner are left out.
    """
    hashes = _hashes("mismatch")
    ids = ids_of(pool)
    sizes = [(row.cluster, len(row.prompt), tuple(map(len, row.completions))) for row in pool]
    places = order(pool, "mismatch")
    partners = {}
    for index, place in enumerate(places):
        parity = int(hashes(ids[place])[-1], 16) % 2
        cluster, prompt, _ = sizes[place]
        for partner in (places[(index + shift) % len(places)] for shift in range(1, len(places))):
            theirs, _, completions = sizes[partner]
            side = parity % len(completions)
            if theirs != cluster and prompt + completions[side] <= max_tokens:
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
