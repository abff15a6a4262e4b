"""Files to records: JSON lines (plain or gzip), JSON lists, CSV and Parquet, with errors that name the line.

What the columns mean is not known here.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from suites.pair import SuiteError

FILE_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet")

CELL_LIMIT = 2**31 - 1  # characters; the csv module refuses long answers by default


class Record(NamedTuple):
    """One row as it was found: `where` is "file.jsonl:12" (or "file.json item 3"), fields by column."""

    where: str
    fields: dict[str, object]


def read_records(path: Path) -> list[Record]:
    """All records of one file; the format is decided by the name's ending.

    Raises: SuiteError for a path that is not a readable file of that format.
    """
    path = check_file(path)
    name = path.name.lower()
    try:
        if name.endswith(".parquet"):
            return list(_parquet(path))
        text = _read_text(path)
        if name.endswith((".jsonl", ".jsonl.gz")):
            return list(_json_lines(text, path.name))
        return list(_csv(text, path.name) if name.endswith(".csv") else _json_list(text, path.name))
    except RecursionError as error:
        raise SuiteError(f"{path.name}: values are nested too deeply to be read") from error


def check_file(path: Path) -> Path:
    """The path, if a regular file lies there.

    Raises: SuiteError.
    """
    if not os.path.exists(path):  # unlike path.exists(), also False for names no file can have
        raise SuiteError(f"no such file: {path}; check the path, it is read from the current folder")
    if not path.is_file():
        raise SuiteError(f"{path} is a folder, not a file of pairs")
    return path


def digest_files(files: Iterable[tuple[str, Path]]) -> str:
    """First 12 hex digits of one sha256 over several files, each under the name it is known by."""
    whole = hashlib.sha256()
    for name, path in sorted(files):
        try:
            inner = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise SuiteError(f"{path} cannot be read: {error.strerror or error}") from error
        whole.update(f"{name}\0{inner}\n".encode())
    return whole.hexdigest()[:12]


def _read_text(path: Path) -> str:
    """The file as text; a byte-order mark is dropped, line ends stay as they are."""
    try:
        data = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise SuiteError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SuiteError(f"{path.name}:{line}: not UTF-8 text; save the file as UTF-8") from error


def _json_lines(text: str, name: str) -> Iterator[Record]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise SuiteError(f"{where}: not valid JSON ({error}); each line must be one object") from error
        yield Record(where, _object(value, where))


def _json_list(text: str, name: str) -> Iterator[Record]:
    """A list of objects; or one object a line, as several public sets write into .json files."""
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            yield from _json_lines(text, name)
            return
        raise SuiteError(f"{name}:{error.lineno}: not valid JSON ({error.msg})") from error
    except ValueError as error:
        raise SuiteError(f"{name}: not valid JSON ({error})") from error
    if not isinstance(rows, list):
        raise SuiteError(f"{name}: the top level is a {type(rows).__name__}; it must be a list of objects")
    for number, value in enumerate(rows, start=1):
        where = f"{name} item {number}"
        yield Record(where, _object(value, where))


def _csv(text: str, name: str) -> Iterator[Record]:
    csv.field_size_limit(CELL_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if repeated := sorted({column for column in header if header.count(column) > 1}):
            raise SuiteError(f"{name}:1: column {repeated[0]!r} occurs twice")
        for cells in reader:
            if not cells:
                continue
            where = f"{name}:{reader.line_num}"
            if len(cells) != len(header):
                raise SuiteError(f"{where}: {len(cells)} cells, but the header names {len(header)} columns")
            yield Record(where, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise SuiteError(f"{name}:{reader.line_num}: not valid CSV ({error})") from error


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path.name}: not a readable Parquet file ({error})") from error
    for number, fields in enumerate(rows, start=1):
        yield Record(f"{path.name} row {number}", fields)


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise SuiteError(f"{where}: a {type(value).__name__}; each row must be an object with named columns")
    return value
