"""Files in chunks that fit into a message, for machines that share no disk: a cell's folder, or what a cache holds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from harness.cache import writing
from harness.cells.places import Places
from results.cells import store
from results.cells.lock import CLAIM
from results.cells.store import ROW

CHUNK_BYTES = 32 * 2**20


class Chunk(NamedTuple):
    """A part of a file: the file's name in its folder, where in it the part begins, and its bytes."""

    name: str
    start: int
    content: bytes


def chunks(root: Path, files: Iterable[Path]) -> Iterator[Chunk]:
    """The files, each in order."""
    for path in files:
        name = path.relative_to(root).as_posix()
        with path.open("rb") as file:
            start = 0
            while (content := file.read(CHUNK_BYTES)) or not start:
                yield Chunk(name, start, content)
                start += len(content) or CHUNK_BYTES


def put(root: Path, chunk: Chunk) -> None:
    """Adds a chunk to what has arrived in `root`. Raises: ValueError for a name that leads out of it."""
    name = PurePosixPath(chunk.name)
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise ValueError(f"{chunk.name!r} is no name of a file in a folder")
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab" if chunk.start else "wb") as file:
        file.write(chunk.content)


def cell_files(folder: Path, *, model: bool) -> list[Path]:
    """The files of a cell, without what is at work there, its checkpoints and, where not asked for, its model."""
    left_out = {CLAIM, store.CHECKPOINTS, *(() if model else (store.MODEL,))}
    files = []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not path.is_symlink() and parts[0] not in left_out and not hidden:
            files.append(path)
    return files


def deliver(received: Path, folder: Path) -> None:
    """Makes what arrived in `received` the content of a cell that is locked; the row, its manifest, is written last.

    The two lie on one file system. A model that is there stays where none has arrived.
    """
    arrived = cell_files(received, model=True)
    for path in arrived:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (folder / ROW).unlink(missing_ok=True)
    for path in cell_files(folder, model=False):
        if not (received / path.relative_to(folder)).exists():
            path.unlink()
    arriving, there = Places(received).model, Places(folder).model
    if arriving.is_dir():
        shutil.rmtree(there, ignore_errors=True)
        os.replace(arriving, there)
    for path in sorted(received.iterdir(), key=lambda path: path.name == ROW):
        os.replace(path, folder / path.name)


def keep(received: Path, cache: Path) -> None:
    """Puts files that arrived in `received` into a cache, where they are not there yet; each whole or not at all."""
    for path in (path for path in sorted(received.rglob("*")) if path.is_file()):
        target = cache / path.relative_to(received)
        if not target.exists():
            with writing(target) as temporary:
                shutil.copyfile(path, temporary)
