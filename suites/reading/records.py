"""Files to records: JSON lines (plain or gzip), JSON lists, CSV and Parquet, with errors that name the line.

Records are made as they are asked for: of a file of any size only one line (of Parquet: one batch of rows) is in
memory, except of a JSON list, which its format makes one piece. What the columns mean is not known here.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from suites.pair import SuiteError
from suites.rows import CHUNK

FILE_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet")

CELL_LIMIT = 2**31 - 1  # characters; the csv module refuses long completions by default


class Record(NamedTuple):
    """One row as it was found: `where` is "file.jsonl:12" (or "file.json item 3"), fields by column."""

    where: str
    fields: dict[str, object]


def read_records(path: Path) -> Iterator[Record]:
    """All records of one file, one after another; the format is decided by the name's ending.

    Raises: SuiteError for a path that is not a readable file of that format, when the place is reached.
    """
    path = check_file(path)
    name = path.name.lower()
    ending = next((ending for ending in READERS if name.endswith(ending)), ".json")
    try:
        yield from READERS[ending](path)
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
    """First 12 hex digits of one sha256 over several files, each under the name it is known by.

    Raises: SuiteError for a file that cannot be read.
    """
    whole = hashlib.sha256()
    for name, path in sorted(files):
        try:
            with path.open("rb") as file:
                inner = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise SuiteError(f"{path} cannot be read: {error.strerror or error}") from error
        whole.update(f"{name}\0{inner}\n".encode())
    return whole.hexdigest()[:12]


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked. Raises: SuiteError, also where reading on fails."""
    try:
        with _binary(path) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise SuiteError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _binary(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


def _not_utf8(path: Path) -> SuiteError:
    """The error of a file that is not UTF-8, with the first line that is not."""
    with _opened(path) as file:
        number = next((number for number, line in enumerate(file, start=1) if not _is_utf8(line)), 1)
    return SuiteError(f"{path.name}:{number}: not UTF-8 text; save the file as UTF-8")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _json_lines(path: Path) -> Iterator[Record]:
    """One object a line. Raises: SuiteError naming the line."""
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            where = f"{path.name}:{number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                value = json.loads(text) if text.strip() else None
            except UnicodeDecodeError as error:
                raise SuiteError(f"{where}: not UTF-8 text; save the file as UTF-8") from error
            except ValueError as error:
                raise SuiteError(f"{where}: not valid JSON ({error}); each line must be one object") from error
            if text.strip():
                yield Record(where, _object(value, where))


def _json_list(path: Path) -> Iterator[Record]:
    """A list of objects; or one object a line, as several public sets write into .json files. Raises: SuiteError."""
    name = path.name
    try:
        with _opened(path) as file:
            text = file.read().decode("utf-8-sig")
        rows = json.loads(text)
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            return _json_lines(path)  # from the file, so that this text can go
        raise SuiteError(f"{name}:{error.lineno}: not valid JSON ({error.msg})") from error
    except ValueError as error:
        raise SuiteError(f"{name}: not valid JSON ({error})") from error
    if not isinstance(rows, list):
        raise SuiteError(f"{name}: the top level is a {type(rows).__name__}; it must be a list of objects")
    places = ((f"{name} item {number}", value) for number, value in enumerate(rows, start=1))
    return (Record(where, _object(value, where)) for where, value in places)


def _csv(path: Path) -> Iterator[Record]:
    """Cells under the names of the first line. Raises: SuiteError naming the line."""
    csv.field_size_limit(CELL_LIMIT)
    with _opened(path) as file:
        reader = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), strict=True)
        try:
            yield from _csv_records(reader, path.name)
        except UnicodeDecodeError as error:
            raise _not_utf8(path) from error
        except csv.Error as error:
            raise SuiteError(f"{path.name}:{reader.line_num}: not valid CSV ({error})") from error


def _csv_records(reader: Any, name: str) -> Iterator[Record]:
    """The rows of an opened file, empty lines left out. Raises: SuiteError naming the line."""
    header: list[str] = next(reader, [])
    if repeated := sorted({column for column in header if header.count(column) > 1}):
        raise SuiteError(f"{name}:1: column {repeated[0]!r} occurs twice")
    for cells in reader:
        if not cells:
            continue
        where = f"{name}:{reader.line_num}"
        if len(cells) != len(header):
            raise SuiteError(f"{where}: {len(cells)} cells, but the header names {len(header)} columns")
        yield Record(where, dict(zip(header, cells, strict=True)))


def _parquet(path: Path) -> Iterator[Record]:
    """The rows of a table, batch by batch. Raises: SuiteError for a file that is none."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(CHUNK):
                for fields in batch.to_pylist():
                    number += 1
                    yield Record(f"{path.name} row {number}", fields)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path.name}: not a readable Parquet file ({error})") from error


def _object(value: object, where: str) -> dict[str, object]:
    """A row that is an object with named columns. Raises: SuiteError."""
    if not isinstance(value, dict):
        raise SuiteError(f"{where}: a {type(value).__name__}; each row must be an object with named columns")
    return value


READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".jsonl": _json_lines,
    ".jsonl.gz": _json_lines,
    ".json": _json_list,
    ".csv": _csv,
    ".parquet": _parquet,
}
