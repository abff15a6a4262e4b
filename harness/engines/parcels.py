"""Files in pieces that fit into a message, for machines that share no disk: a cell's folder, or what a cache holds."""

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

PIECE = 32 * 2**20  # bytes


class Piece(NamedTuple):
    """A part of a file: the file's name in its folder, where in it the part begins, and its bytes."""

    name: str
    start: int
    content: bytes


def pieces(root: Path, files: Iterable[Path]) -> Iterator[Piece]:
    """The files, each in order."""
    for path in files:
        name = path.relative_to(root).as_posix()
        with path.open("rb") as file:
            start = 0
            while (content := file.read(PIECE)) or not start:
                yield Piece(name, start, content)
                start += len(content) or PIECE


def put(root: Path, piece: Piece) -> None:
    """Adds a piece to what has arrived in `root`. Raises: ValueError for a name that leads out of it."""
    name = PurePosixPath(piece.name)
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise ValueError(f"{piece.name!r} is no name of a file in a folder")
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab" if piece.start else "wb") as file:
        file.write(piece.content)


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


def deliver(parcel: Path, folder: Path) -> None:
    """Makes what arrived in `parcel` the content of a cell that is claimed; the row comes last and vouches for it.

    The two lie on one file system. A model that is there stays where none has arrived.
    """
    arrived = cell_files(parcel, model=True)
    for path in arrived:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (folder / ROW).unlink(missing_ok=True)
    for path in cell_files(folder, model=False):
        if not (parcel / path.relative_to(folder)).exists():
            path.unlink()
    arriving, there = Places(parcel).model, Places(folder).model
    if arriving.is_dir():
        shutil.rmtree(there, ignore_errors=True)
        os.replace(arriving, there)
    for path in sorted(parcel.iterdir(), key=lambda path: path.name == ROW):
        os.replace(path, folder / path.name)


def keep(parcel: Path, cache: Path) -> None:
    """Puts files that arrived in `parcel` into a cache, where they are not there yet; each whole or not at all."""
    for path in (path for path in sorted(parcel.rglob("*")) if path.is_file()):
        target = cache / path.relative_to(parcel)
        if not target.exists():
            with writing(target) as temporary:
                shutil.copyfile(path, temporary)
