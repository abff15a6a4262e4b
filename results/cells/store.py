"""One cell on disk: its folder, its files written whole, and the row that vouches for them.

A cell folder holds cell.json (its identity), curve.parquet, pairs.parquet, log.txt, what generation and
judges add, and row.json. The row carries size and sha256 of its siblings and is renamed into place last, so
its presence means that the cell is complete; it is removed first when a cell is written again. Reading is
in `read.py`.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from results.cells.frames import check_types, json_text, parquet_bytes, plain, typed_frame
from results.cells.lock import Claimed, claim, clear_dead, holder, release
from results.schema.row import CURVE_COLUMNS, PAIR_COLUMNS, ROW_COLUMNS, TERM_PREFIX, names

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GENERATIONS",
    "Claimed",
    "add_measurement",
    "cell_folder",
    "claim",
    "clear_dead",
    "holder",
    "holds",
    "is_done",
    "read_row",
    "release",
    "verdicts_file",
    "write_audit",
    "write_cell",
    "write_failed",
    "write_search",
]

ROW = "row.json"
GENERATIONS = "generations.jsonl"  # what a cell's model wrote
RERANKED = "reranked.jsonl"  # completions of the reference, scored by a cell's model
CELL = "cell.json"
PAIRS = "pairs.parquet"
CURVE = "curve.parquet"
LOG = "log.txt"
MODEL, CHECKPOINTS, NEXT_ROUND = "model", "checkpoint", "next-round"
"""Folders that a cell may hold: the trained model, a state to go on from, the weights that a next round begins with."""
AUDIT = "audit-{}.json"
SEARCH_FILE = "search-{}.json"
ADDED_LATER = (GENERATIONS, RERANKED, "verdicts-*.parquet")
"""Files that other measurements put beside a cell's own; a row vouches for them too."""

_LONGEST_SLUG = 64


def cell_folder(out: Path | str, suite: str, loss: str, cell: str) -> Path:
    """out/<suite>/<loss>-<cell>, each name made safe for a file system.

    Names that already are safe stay as they are. Others keep their safe characters and get a hash of the
    whole, so two of them never meet. Case is kept: two cells whose names differ only in case differ in
    their id too.
    Raises: ValueError for an empty name, or where a symlink would lead out of the place.
    """
    root = Path(out).resolve()
    folder = root / _slug(suite, "suite") / f"{_slug(loss, 'loss')}-{_slug(cell, 'cell')}"
    _refuse_symlinks(folder)
    if folder.resolve().parent.parent != root:
        raise ValueError(f"The cell's folder {folder} is not inside {root}; rename the suite {suite!r}.")
    return folder


def _slug(name: str, what: str) -> str:
    """A directory name for any text: letters, digits, dot, dash and underscore, not leading with a dot."""
    if not name:
        raise ValueError(f"The {what} of a cell has an empty name; it needs one for its folder.")
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-")[:_LONGEST_SLUG]
    if safe == name:
        return safe
    return f"{safe}-{_sha256(name.encode('utf-8', 'surrogatepass'))[:8]}".lstrip("-")


def _refuse_symlinks(folder: Path) -> None:
    """Refuses a cell's or suite's folder that is a link: writing would land in another place. Raises: ValueError."""
    for place in (folder, folder.parent):
        if place.is_symlink():
            raise ValueError(
                f"{place} is a symlink, and results are not written through one; remove it or choose another out=."
            )


def write_cell(
    folder: Path | str,
    *,
    cell: Mapping[str, Any],
    row: Mapping[str, Any],
    pairs: "pd.DataFrame | None",
    curve: "pd.DataFrame | None",
    log: str,
) -> None:
    """Stores a finished cell; `pairs` or `curve` None where the cell has no such table.

    `cell` is its identity, `row` one value per column of ROW_COLUMNS (further keys are kept); the status
    is "done".
    Raises: ValueError for another status, a value of another type than its column's or a table without its
    columns, TypeError for a value that JSON has no form for.
    """
    if row.get("status", "done") != "done":
        raise ValueError(f"A finished cell has status 'done', not {row['status']!r}; use write_failed.")
    _write(Path(folder), cell, {**row, "status": "done"}, pairs, curve, log)


def write_failed(
    folder: Path | str,
    *,
    cell: Mapping[str, Any],
    row: Mapping[str, Any],
    curve: "pd.DataFrame | None" = None,
    log: str = "",
) -> None:
    """Stores what is left of a cell that failed or was skipped, with the reason; it is not done.

    Raises: ValueError for another status than "failed" or "skipped", or without a reason.
    """
    status = row.get("status", "failed")
    if status not in ("failed", "skipped"):
        raise ValueError(f"A cell that did not finish has status 'failed' or 'skipped', not {status!r}.")
    if not row.get("reason"):
        raise ValueError(f"A {status} cell needs a reason; found {row.get('reason')!r}.")
    _write(Path(folder), cell, {**row, "status": status}, None, curve, log)


def verdicts_file(judge: str) -> str:
    """The name of the file that holds a judge's verdicts on a cell."""
    return f"verdicts-{_slug(judge, 'judge')}.parquet"


def add_measurement(folder: Path | str, columns: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> None:
    """Adds columns to a finished cell's row, and files beside it; what the row holds already stays.

    Killed at any moment it leaves a finished cell, with the measurement as it was, without it, or with it: the row
    lets go of a file before that is replaced, and vouches for the new one last.
    Raises: ValueError for a cell that is not done, a file name that no measurement has, or a value of another type
    than its column's.
    """
    folder, files = Path(folder), dict(files or {})
    _refuse_symlinks(folder)
    if not is_done(folder):
        raise ValueError(f"{folder} holds no finished cell, so nothing can be added to it; run its command again.")
    for name in files:
        if Path(name).name != name or not any(fnmatch(name, pattern) for pattern in ADDED_LATER):
            raise ValueError(f"{name!r} is no file of a measurement; allowed are {', '.join(ADDED_LATER)}.")
    row = read_row(folder)
    known = row["files"]
    new = {name: content for name, content in files.items() if known.get(name) != _content_digest(content)}
    complete = {**row, **plain(columns), "files": known | {name: _content_digest(c) for name, c in files.items()}}
    check_types(complete, ROW_COLUMNS)
    encoded = _json_bytes(complete)
    if new.keys() & known.keys():
        kept = {name: digest for name, digest in known.items() if name not in new}
        _write_whole(folder / ROW, _json_bytes({**row, "files": kept}))
    for name, content in new.items():
        _write_whole(folder / name, content)
    _write_whole(folder / ROW, encoded)


def _write(
    folder: Path,
    cell: Mapping[str, Any],
    row: Mapping[str, Any],
    pairs: "pd.DataFrame | None",
    curve: "pd.DataFrame | None",
    log: str,
) -> None:
    """All files, each whole, the row last; nothing on disk changes before everything could be encoded."""
    _refuse_symlinks(folder)
    contents: dict[str, bytes | None] = {
        CELL: _json_bytes(cell),
        LOG: log.encode("utf-8", "replace"),
        CURVE: None if curve is None else _curve_bytes(curve),
        PAIRS: None if pairs is None else _pair_bytes(pairs),
    }
    row = plain(row)
    check_types(row, ROW_COLUMNS)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ROW).unlink(missing_ok=True)
    for name, content in contents.items():
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            _write_whole(folder / name, content)
    written = [name for name, content in contents.items() if content is not None]
    added = [path.name for pattern in ADDED_LATER for path in folder.glob(pattern)]
    files = {name: digest_of(folder / name) for name in sorted(written + added)}
    _write_whole(folder / ROW, _json_bytes({**row, "files": files}))


def write_audit(place: Path | str, protocol: str, content: Mapping[str, Any]) -> Path:
    """Stores what was found about the rows of a protocol in the suite's folder `place`, beside the cells.

    Raises: TypeError for a value that JSON has no form for, ValueError where `place` is a symlink.
    """
    return _write_beside(Path(place) / AUDIT.format(_slug(protocol, "protocol")), {**content, "protocol": protocol})


def write_search(place: Path | str, record: Mapping[str, Any]) -> Path:
    """Stores which cells a search tried and chose in the suite's folder `place`; `record["search"]` names it.

    Raises: as write_audit.
    """
    return _write_beside(Path(place) / SEARCH_FILE.format(_slug(record["search"], "search")), record)


def _write_beside(path: Path, content: Mapping[str, Any]) -> Path:
    """A JSON file beside the cells."""
    _refuse_symlinks(path)
    contents = _json_bytes(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(path, contents)
    return path


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    """Strict JSON in UTF-8; what UTF-8 cannot hold (undecodable bytes of file names) stays as an escape."""
    return json_text(value).encode("utf-8", "backslashreplace")


def _pair_bytes(pairs: "pd.DataFrame") -> bytes:
    """A pair table as parquet; columns beyond the declared ones stay, at the end."""
    return parquet_bytes(typed_frame(pairs, PAIR_COLUMNS, "pair"), PAIR_COLUMNS)


def _curve_bytes(curve: "pd.DataFrame") -> bytes:
    """A curve table as parquet. Raises: ValueError for a column that is neither declared nor a term."""
    unknown = [
        name for name in curve.columns if name not in names(CURVE_COLUMNS) and not str(name).startswith(TERM_PREFIX)
    ]
    if unknown:
        raise ValueError(
            f"The curve table has unknown columns {', '.join(map(str, unknown))}; allowed are "
            f"{', '.join(names(CURVE_COLUMNS))} and {TERM_PREFIX}<name>."
        )
    return parquet_bytes(typed_frame(curve, CURVE_COLUMNS, "curve"), CURVE_COLUMNS)


def _write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that it is either there in full or not at all, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with open_new(temporary) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def open_new(path: Path) -> BinaryIO:
    """A file that must not be there yet, so that nothing is written through a link that somebody put there."""
    return open(path, "xb")


def read_row(folder: Path | str) -> dict[str, Any]:
    """The content of row.json as stored. Raises: OSError or ValueError where there is no such JSON object."""
    content = json.loads((Path(folder) / ROW).read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{ROW} holds a {type(content).__name__}, not an object.")
    return content


def is_done(folder: Path | str) -> bool:
    """True where the row says "done" and every file it vouches for is there, unchanged."""
    folder = Path(folder)
    try:
        row = read_row(folder)
    except (OSError, ValueError):
        return False
    files = row.get("files")
    if row.get("status") != "done" or not isinstance(files, dict) or CELL not in files:
        return False
    return all(holds(folder, name, digest) for name, digest in files.items())


def holds(folder: Path, name: str, digest: object) -> bool:
    """True where a sibling file is a plain file of the recorded size and content."""
    path = folder / name
    if Path(name).name != name or path.is_symlink() or not path.is_file() or not isinstance(digest, dict):
        return False
    return path.stat().st_size == digest.get("size") and digest_of(path) == digest


def digest_of(path: Path) -> dict[str, int | str]:
    """Size in bytes and sha256 of a file."""
    return _content_digest(path.read_bytes())


def _content_digest(content: bytes) -> dict[str, int | str]:
    return {"size": len(content), "sha256": _sha256(content)}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
