"""Rows of one dataclass in Arrow columns: compact, cheap to send to another process, made into objects on access.

100,000 pairs as Python objects take a gigabyte and as columns the size of their text. What a row means is not
known here: any frozen dataclass of text, numbers, truth values, other dataclasses, and tuples of these will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import islice
from operator import attrgetter
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin, get_type_hints, overload

if TYPE_CHECKING:
    import numpy
    import pyarrow

Row = TypeVar("Row")

CHUNK = 1000  # rows that are Python objects at a time, written or read


class Rows(Sequence[Row], Generic[Row]):
    """A sequence over one table; a part or another order of it is a list of places in the same table.

    kind: the dataclass of a row. table: one chunk a column, named like the fields. places: [N] row numbers in the
    table, None for all in order. change: what a row goes through when it is made; the columns do not know of it.
    Equal to any sequence of equal rows, and so without a hash.
    """

    def __init__(
        self,
        kind: type[Row],
        table: pyarrow.Table,
        places: numpy.ndarray | None = None,
        change: Callable[[Row], Row] | None = None,
    ) -> None:
        self.kind, self.table, self.places, self.change = kind, table, places, change

    @classmethod
    def of(cls, rows: Iterable[Row], kind: type[Row]) -> Rows[Row]:
        """The rows as columns, written chunk by chunk, so that `rows` may be a stream.

        Raises: UnicodeEncodeError for text with a lone surrogate.
        """
        import pyarrow

        types = _types(kind)
        read = attrgetter(*types)
        columns: dict[str, list[pyarrow.Array]] = {name: [] for name in types}
        stream = iter(rows)
        while chunk := list(islice(stream, CHUNK)):
            for name, values in zip(types, zip(*map(read, chunk), strict=True), strict=True):
                columns[name].append(pyarrow.array(_plain(values, types[name]), _arrow(types[name])))
        # Column by column: never more than one of them is there twice.
        joined = [
            pyarrow.concat_arrays(columns.pop(name)) if columns[name] else pyarrow.array([], _arrow(types[name]))
            for name in types
        ]
        return cls(kind, pyarrow.table(joined, names=list(types)))

    def __len__(self) -> int:
        return self.table.num_rows if self.places is None else len(self.places)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Rows[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Rows[Row]:
        places = range(len(self))
        return self.take(places[index]) if isinstance(index, slice) else next(iter(self.take([places[index]])))

    def __iter__(self) -> Iterator[Row]:
        for start in range(0, len(self), CHUNK):
            if self.places is None:
                part = self.table.slice(start, CHUNK)
            else:
                part = self.table.take(self.places[start : start + CHUNK])
            columns = [_made(part[name].combine_chunks(), kind) for name, kind in _types(self.kind).items()]
            rows = map(self.kind, *columns)
            yield from map(self.change, rows) if self.change else rows

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(ours == theirs for ours, theirs in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"Rows({len(self)} of {self.kind.__name__})"

    def take(self, places: Iterable[int]) -> Rows[Row]:
        """The rows at these places, in this order; no row is copied."""
        import numpy

        chosen = numpy.fromiter(places, numpy.int64)
        return Rows(self.kind, self.table, chosen if self.places is None else self.places[chosen], self.change)

    def column(self, name: str) -> pyarrow.ChunkedArray:
        """One field of all rows as an Arrow column."""
        column = self.table[name]
        return column if self.places is None else column.take(self.places)

    def changed(self, change: Callable[[Row], Row]) -> Rows[Row]:
        """The same rows, each put through `change` when it is made; nothing is stored.

        `change` leaves alone whatever is read as a column afterwards, and can be pickled where the rows travel.
        """
        return Rows(self.kind, self.table, self.places, change)

    def replaced(self, name: str, values: Sequence[Any]) -> Rows[Row]:
        """The same rows with other values in one field."""
        import pyarrow

        hint = _types(self.kind)[name]
        table = self.table if self.places is None else self.table.take(self.places)
        column = pyarrow.array(_plain(values, hint), _arrow(hint))
        return Rows(self.kind, table.set_column(table.schema.get_field_index(name), name, column), change=self.change)


def _types(kind: Any) -> dict[str, Any]:
    """Field -> type of its values; None is allowed everywhere and left out."""
    return _types_of(kind)


@cache
def _types_of(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: _without_none(hints[field.name]) for field in fields(kind)}


def _without_none(hint: Any) -> Any:
    choices = [choice for choice in get_args(hint) if choice is not NoneType]
    return choices[0] if NoneType in get_args(hint) else hint


def _arrow(hint: Any) -> pyarrow.DataType:
    """The column's type. Offsets are 64 bit: the texts of a large set pass 2 GiB."""
    import pyarrow

    if get_origin(hint) is tuple:
        return pyarrow.large_list(_arrow(get_args(hint)[0]))
    if is_dataclass(hint):
        return pyarrow.struct([(name, _arrow(inner)) for name, inner in _types(hint).items()])
    scalars = {
        str: pyarrow.large_string(),
        int: pyarrow.int32(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }
    return scalars[hint]


def _plain(values: Sequence[Any], hint: Any) -> Sequence[Any]:
    """The values with objects inside tuples as tuples of their fields, which Arrow takes for a struct."""
    if get_origin(hint) is not tuple or not is_dataclass(get_args(hint)[0]):
        return values
    read = attrgetter(*_types(get_args(hint)[0]))
    return [None if value is None else [read(item) for item in value] for value in values]


def _made(array: pyarrow.Array, hint: Any) -> list[Any]:
    """The Python values of a column."""
    if get_origin(hint) is tuple:
        inner = iter(_made(array.flatten(), get_args(hint)[0]))
        return [None if size is None else tuple(islice(inner, size)) for size in array.value_lengths().to_pylist()]
    if is_dataclass(hint):
        columns = zip(array.flatten(), _types(hint).values(), strict=True)
        make: Any = hint
        return list(map(make, *(_made(column, kind) for column, kind in columns)))
    if hint is int and not array.null_count:
        return list(array.to_numpy(zero_copy_only=False).tolist())  # many times quicker than to_pylist
    return list(array.to_pylist())
