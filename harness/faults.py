"""What a machine can fail at, told from faults of the program: memory, and the disks that are written to."""

from __future__ import annotations

import errno
import os
import re

import torch
from safetensors import SafetensorError

from harness.micro import is_out_of_memory
from harness.options import UsageError

_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}
_RUST_ERRNO = re.compile(r"os error (\d+)")


class SweepStopped(RuntimeError):
    """No further cell can be run: nothing can be written, the model cannot be measured, or the machines are gone; the
    message says what to do."""


def memory_failure(error: BaseException) -> str | None:
    """A sentence about memory that ran out for good, or a device that failed; None for any other error."""
    known = getattr(torch, "AcceleratorError", torch.OutOfMemoryError)
    if is_out_of_memory(error):
        return (
            f"out of memory ({first_line(error)}); a smaller micro_batch=, activation_checkpointing=true, "
            "tuning=lora or fewer workers= need less"
        )
    if isinstance(error, known) or "CUDA error" in str(error):
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
