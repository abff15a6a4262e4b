"""A lock keeps two commands off one cell: a file that names the process at work there.

The file says which process on which host holds the folder. A process is known by its pid, the boot of its
machine and its own start time, so a recycled pid is not mistaken for a living holder. A lock whose process
is gone from this host is taken over; one of another host is respected, because nothing can be known about
it from here.
"""

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

CLAIM = "claim.json"


class Claimed(RuntimeError):
    """Another process is at work in the folder."""


@contextlib.contextmanager
def claim(folder: Path | str) -> Iterator[Path]:
    """Holds the cell folder, made if needed, until the block ends; what a dead holder was writing is removed.

    Raises: Claimed where a living process, or one on another host, holds it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mine = _own_entry()
    with _locked(folder):
        _clear_dead(folder / CLAIM)
        _place(folder / CLAIM, mine)
        for path in folder.glob(".*.tmp"):  # whoever was writing it is gone
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    try:
        yield folder
    finally:
        if _read(folder / CLAIM) == mine:
            (folder / CLAIM).unlink()


@dataclass(frozen=True)
class Holder:
    """A process at work in a folder; whether one of another host still lives cannot be known."""

    pid: object
    host: object

    @property
    def is_here(self) -> bool:
        """Whether the process is, or was, one of this host."""
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        known = self.pid is not None
        return f"process {self.pid} on host {self.host!r}" if known else "somebody whose lock cannot be read"


def holder(folder: Path | str) -> Holder | None:
    """Who is at work in the folder; None where nobody is, or the lock's process is gone from this host."""
    content = _read(Path(folder) / CLAIM)
    if content is None:
        return Holder(None, None) if os.path.lexists(Path(folder) / CLAIM) else None
    found = Holder(content.get("pid"), content.get("host"))
    return None if found.is_here and not _is_alive(content) else found


def clear_dead(folder: Path | str) -> None:
    """Removes the lock and the temporary files that processes of this host which are gone left in the folder."""
    folder = Path(folder)
    if (os.path.lexists(folder / CLAIM) or any(folder.glob(".*.tmp"))) and holder(folder) is None:
        with contextlib.suppress(Claimed), claim(folder):
            pass


def release(folder: Path | str, host: str, pid: int) -> None:
    """Removes the lock of a process that is known to be gone, wherever it ran; any other lock stays."""
    folder = Path(folder)
    with _locked(folder):
        content = _read(folder / CLAIM)
        if content is not None and (content.get("host"), content.get("pid")) == (host, pid):
            (folder / CLAIM).unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process of this host at a time: else two could find the same dead lock and both take it over.

    This lock is on the folder itself, so it leaves no file and ends with the process.
    """
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _place(path: Path, content: dict[str, str | int | None]) -> None:
    """Writes the lock whole or not at all; a link fails where another host was faster."""
    temporary = path.with_name(f".{CLAIM}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
        os.link(temporary, path)
    except FileExistsError:
        raise Claimed(_held_text(path, _read(path))) from None
    finally:
        temporary.unlink(missing_ok=True)


def _clear_dead(path: Path) -> None:
    """Removes the lock of a process of this host that is gone; raises Claimed for any other lock."""
    if not os.path.lexists(path):
        return
    holder = _read(path)
    if holder is None or holder.get("host") != socket.gethostname() or _is_alive(holder):
        raise Claimed(_held_text(path, holder))
    path.unlink()


def _read(path: Path) -> dict[str, str | int | None] | None:
    """The content of a lock file, None where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _held_text(path: Path, holder: dict[str, str | int | None] | None) -> str:
    """What stands in the way, and what to do about it."""
    if holder is None:
        return f"{path} cannot be read as a lock; delete it if no other command is at work in this folder."
    who = f"process {holder.get('pid')} on host {holder.get('host')!r} since {holder.get('since')}"
    if holder.get("host") == socket.gethostname():
        return f"{path.parent} is being worked on by {who}; wait for it, or stop it first."
    return (
        f"{path.parent} is locked by {who}; whether it still runs cannot be seen from this host. "
        f"If it does not, delete {path}."
    )


def _own_entry() -> dict[str, str | int | None]:
    """Who this process is, and since when it holds the folder (UTC)."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot": _boot_id(),
        "process_start": _process_start(os.getpid()),
        "since": datetime.now(UTC).isoformat(),
    }


def _is_alive(holder: dict[str, str | int | None]) -> bool:
    """True where the lock's process still runs on this host."""
    if holder.get("boot") != _boot_id():
        return False
    pid = holder.get("pid")
    if not isinstance(pid, int) or pid < 1:
        return False
    return is_running(pid) and holder.get("process_start") == _process_start(pid)


def is_running(pid: int) -> bool:
    """Whether a process of this host has this number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _boot_id() -> str | None:
    """Id of the machine's current boot, None where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def _process_start(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot, None where the system does not say.

    Field 22 of proc(5) stat; the second field, a name in parentheses, may itself hold spaces and parentheses.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]
