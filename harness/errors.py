"""What a machine can fail at, told from faults of the program: memory, and the disks that are written to."""

from __future__ import annotations

import errno
import os
import re
import sys

from safetensors import SafetensorError

_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}
_RUST_ERRNO = re.compile(r"os error (\d+)")


class SweepStopped(RuntimeError):
    """No further cell can be run: nothing can be written, the model cannot be measured, or the machines are gone; the
    message says what to do."""


def memory_failure(error: BaseException) -> str | None:
    """A sentence about memory that ran out for good, or a device that failed; None for any other error."""
    if is_out_of_memory(error):
        return (
            f"out of memory ({first_line(error)}); a smaller micro_batch=, activation_checkpointing=true, "
            "tuning=lora or fewer workers= need less"
        )
    if _is_of_torch(error, "AcceleratorError", "OutOfMemoryError") or "CUDA error" in str(error):
        return first_line(error)
    return None


def storage_failure(error: BaseException) -> str | None:
    """A sentence about a disk that cannot be written to; None for any other error."""
    number, place = None, ""
    if isinstance(error, OSError):
        number, place = error.errno, str(error.filename or "")
    elif isinstance(error, SafetensorError):
        found = _RUST_ERRNO.search(str(error))
        number = int(found.group(1)) if found else None
    if number not in _STORAGE:
        return None
    return (
        f"{place or 'a file of this run'}: {os.strerror(number).lower()}; free some space or name other "
        "folders (out=, PREFERENCE_HARNESS_CACHE), then run the same command again: finished cells are kept"
    )


def stopping_failure(error: BaseException) -> str | None:
    """A sentence about what no further cell gets past: a disk, or a model that turns out to be none that can be
    measured; None for any other error."""
    return str(error) if isinstance(error, UsageError) else storage_failure(error)


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


class NonFinite(ArithmeticError):
    """The loss or its gradient is NaN or infinite: the cell stops before the optimizer step."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the allocator had no memory left."""
    if isinstance(error, MemoryError) or _is_of_torch(error, "OutOfMemoryError"):
        return True
    # torch's CPU allocator raises a plain RuntimeError
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


class UsageError(ValueError):
    """What the user asked for cannot be done; `messages` holds one sentence for each problem."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = list(messages)


class TooFewPairs(ValueError):
    """The policy's completions make too few pairs for one batch: the cell ends here."""


def _is_of_torch(error: BaseException, *names: str) -> bool:
    """Whether an error is of one of torch's classes; without importing torch, which every command would wait for."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, tuple(getattr(torch, n) for n in names if hasattr(torch, n)))
