"""Where things that can be made again are kept: converted models, reference log-probs, start weights.

Everything here is content-addressed and written to a temporary name first, so a reader never meets a
half-written file, and deleting the folder costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError
from results.cells.lock import is_running


def cache_folder(*parts: str) -> Path:
    """The cache folder (`PREFERENCE_HARNESS_CACHE`, else the XDG cache), created on first use.

    Raises: UsageError where it cannot be.
    """
    root = os.environ.get("PREFERENCE_HARNESS_CACHE")
    if root is None:
        xdg = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        root = str(Path(xdg) / "preference-harness")
    folder = Path(root).expanduser().joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            [
                f"the cache folder {folder} cannot be made ({error.strerror}); set PREFERENCE_HARNESS_CACHE "
                "to a folder that can be written"
            ]
        ) from None
    return folder


@contextlib.contextmanager
def building(folder: Path) -> Iterator[Path]:
    """A temporary sibling to fill, renamed to `folder` on success and removed otherwise.

    Two processes may build the same folder at once: the first rename wins, the other copy is dropped,
    which is right because equal names mean equal content.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_dead(folder)
    temporary = Path(tempfile.mkdtemp(prefix=_prefix(folder), suffix=".tmp", dir=folder.parent))
    try:
        yield temporary
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file name beside `path`, renamed over it on success and removed otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_dead(path)
    handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _prefix(path: Path, process: str | None = None) -> str:
    """The beginning of a temporary name: for what, by which process of which host."""
    return f".{path.name}.{socket.gethostname()}.{os.getpid() if process is None else process}-"


def _clear_dead(path: Path) -> None:
    """Removes what processes of this host that are gone left half-written for the same target."""
    begin = _prefix(path, "")[:-1]
    for left in path.parent.glob(f"{glob.escape(begin)}*.tmp"):
        process = left.name.removeprefix(begin).partition("-")[0]
        if process.isdecimal() and not is_running(int(process)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Holds a folder against other processes of this host; yields whether it was got (always, where it waits).

    The lock is on the folder itself, so it leaves no file and ends with the process.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def sha256_of_file(path: Path) -> str:
    """sha256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """sha256 of a large file, remembered by (path, size, modification time) so that it is read once."""
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()
    note = cache_folder("digests") / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none, or one that a power cut left empty
        return json.loads(note.read_text())["sha256"]
    digest = sha256_of_file(path)
    with writing(note) as temporary:
        temporary.write_text(json.dumps({"sha256": digest}))
    return digest
