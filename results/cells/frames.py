"""Tables in their declared form: column order, types, and the bytes of a parquet file.

Equal tables give equal bytes: the schema is written out, no index and no metadata of the writing library's
frame.
"""

import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from results.schema.row import Column, names

if TYPE_CHECKING:
    import pandas as pd


def typed_frame(frame: "pd.DataFrame", columns: tuple[Column, ...], table: str) -> "pd.DataFrame":
    """The frame with its declared columns first, in declared order and type; further columns follow.

    `table` names the table in errors.
    Raises: ValueError for missing columns or values of another type.
    """
    import pandas as pd

    missing = [name for name in names(columns) if name not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns)) or "no columns"
        raise ValueError(f"The {table} table lacks {', '.join(missing)}; found: {found}.")
    typed = {column.name: _typed_series(frame[column.name], column, table) for column in columns}
    extra = [name for name in frame.columns if name not in typed]
    return pd.DataFrame(typed | {name: frame[name] for name in extra}).reset_index(drop=True)


def _typed_series(series: "pd.Series", column: Column, table: str) -> "pd.Series":
    """One column in its declared type."""
    try:
        return series.astype(column.dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{column.name} of the {table} table must be {column.dtype}: {error}.") from error


def parquet_bytes(frame: "pd.DataFrame", columns: tuple[Column, ...]) -> bytes:
    """A typed frame as a parquet file; equal frames give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"str": pa.string(), "float64": pa.float64(), "Int64": pa.int64(), "boolean": pa.bool_()}
    declared = {column.name: kinds[column.dtype] for column in columns}
    arrays = {name: pa.Array.from_pandas(frame[name], type=declared.get(name)) for name in frame.columns}
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays), sink, compression="zstd")
    return sink.getvalue()


def read_parquet(path: Path, columns: tuple[Column, ...], table: str) -> "pd.DataFrame":
    """A stored table in its declared form.

    Raises: ValueError or OSError where the file is not such a table.
    """
    import pyarrow.parquet as pq

    return typed_frame(pq.ParquetFile(path).read().to_pandas(), columns, table)


def json_text(value: object) -> str:
    """Strict JSON, readable: NaN and infinities become null, numpy numbers plain ones; keys keep their order.

    Raises: TypeError for anything that JSON has no form for.
    """
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: object) -> Any:
    """A value made of dicts, lists, strings, finite numbers, booleans and None only.

    Raises: TypeError for anything that JSON has no form for.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "item") and not isinstance(value, int | float) and getattr(value, "ndim", 0) == 0:
        return plain(value.item())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    raise TypeError(
        f"a {type(value).__name__} has no form in JSON: {value!r}; allowed are text, numbers, "
        "booleans, None, and lists or mappings of them."
    )


def _key(key: object) -> str:
    """A key of a mapping. Raises: TypeError for a key that is no text."""
    if not isinstance(key, str):
        raise TypeError(f"a JSON key must be text, but {key!r} is a {type(key).__name__}.")
    return key


_STORED_AS: dict[str, tuple[type, ...]] = {
    "str": (str, dict, list),
    "float64": (int, float),
    "Int64": (int,),
    "boolean": (bool,),
}


def check_types(row: Mapping[str, Any], columns: tuple[Column, ...]) -> None:
    """Holds plain values to the types of their columns; text may be a mapping or a list.

    Raises: ValueError for a value of another type.
    """
    for column in columns:
        value = row.get(column.name)
        is_misplaced_flag = isinstance(value, bool) and column.dtype != "boolean"
        if value is not None and (is_misplaced_flag or not isinstance(value, _STORED_AS[column.dtype])):
            raise ValueError(f"{column.name} is {value!r}, but must be {column.dtype} or missing.")


def rows_frame(rows: Iterable[Mapping[str, Any]], columns: tuple[Column, ...]) -> "pd.DataFrame":
    """Rows of plain values as a frame: declared columns in order and type, further ones last.

    Missing values are NaN (text, floats) or NA (counts, flags).
    """
    import pandas as pd

    rows = list(rows)
    declared = names(columns)
    extra = list(dict.fromkeys(key for row in rows for key in row if key not in declared))
    series = {c.name: pd.Series([row.get(c.name) for row in rows], dtype=c.dtype) for c in columns}
    series |= {key: pd.Series([row.get(key) for row in rows]) for key in extra}
    return pd.DataFrame(series).copy()  # a copy lies in one piece, so that further columns are added quickly


def rows_of(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """The rows of a frame as mappings from column name to value."""
    return cast("list[dict[str, Any]]", frame.to_dict("records"))


def by_cell(frame: "pd.DataFrame") -> "dict[str, pd.DataFrame]":
    """The rows of each cell apart, by cell id, for a frame with a column `cell`."""
    return {str(cell): rows for cell, rows in frame.groupby("cell", sort=False)}
