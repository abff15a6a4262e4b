"""What computes: device, precision, threads, versions, memory."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil
import torch

from harness.errors import UsageError
from harness.options.run import Options

LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "numpy", "pandas", "preference-harness")


@dataclass(frozen=True)
class Machine:
    """The resolved device, training precision and threads of a run."""

    device: str
    device_name: str
    precision: str
    threads: int


def resolve(options: Options) -> Machine:
    """Turns `auto` into what this machine has, and sets the number of threads.

    Raises: UsageError for a device that is not here.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = _device(options.device)
    precision = options.precision
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else "fp32"
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{device} ({cpu_name()})"
    return Machine(device, name, precision, torch.get_num_threads())


def device_here(wanted: str) -> str:
    """The device where this machine has it, else its CPU: cells may have run on another machine."""
    return wanted if wanted in _devices() else "cpu"


def _devices() -> list[str]:
    here = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [*here, "mps"] if torch.backends.mps.is_available() else here


def _device(wanted: str) -> str:
    here = _devices()
    if wanted == "auto":
        return "cuda:0" if len(here) > 1 and here[1].startswith("cuda") else here[-1]
    device = "cuda:0" if wanted == "cuda" else wanted
    if device not in here:
        raise UsageError([f"device={wanted}: this machine has {', '.join(here)}; use one of them, or auto"])
    return device


def _has_bf16(device: str) -> bool:
    """Whether bf16 is computed by the hardware: emulated, it is slower than fp32."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


@cache
def cpu_name() -> str:
    """The processor's name, as the system gives it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


# <malloc.h>: parameters of mallopt
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
WORTH_RETURNING = 2**27  # bytes: more than a tiny cell leaves, whose own time a trim would double


def reuse_memory() -> None:
    """Lets this process keep what it frees for its next tensors, where the C library is glibc.

    glibc gives each large block back to the system and asks for it again, so that a step's tensors are new pages
    every time: without their faults a training step of a 135M model on two cores takes a sixth less.
    """
    if glibc := _glibc():
        glibc.mallopt(_MMAP_MAX, 0)  # every block from the heap ...
        glibc.mallopt(_TRIM_THRESHOLD, -1)  # ... which does not shrink ...
        glibc.mallopt(_TOP_PAD, 2**26)  # ... and grows 64 MiB at a time


class _Mallinfo(ctypes.Structure):
    """<malloc.h>: struct mallinfo2; `free` is its fordblks, bytes that are kept without being used."""

    _fields_ = [("_before", ctypes.c_size_t * 8), ("free", ctypes.c_size_t), ("_top", ctypes.c_size_t)]


def return_memory() -> None:
    """Gives the system back what this process keeps without using it, where that is worth the page faults."""
    glibc = _glibc()
    if glibc and hasattr(glibc, "mallinfo2"):  # from glibc 2.33 on
        glibc.mallinfo2.restype = _Mallinfo
        if glibc.mallinfo2().free > WORTH_RETURNING:
            glibc.malloc_trim(0)


def reset_peak_memory(device: str) -> None:
    """Starts a new measurement of peak memory.

    On a CPU it counts what the process keeps for its next tensors (`reuse_memory`). That is not given back here: the
    faults of a cell that finds none of it were a quarter of a sweep of short cells.
    """
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str) -> int:
    """Bytes: of the GPU where there is one, else the process's largest resident size since the reset."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def total_memory(device: str) -> int:
    """Bytes: of the GPU, else of the machine or of the container's limit."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[1]
    sizes = [psutil.virtual_memory().total]
    with contextlib.suppress(OSError, ValueError):  # a group without a limit says "max"
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(sizes)


@cache
def versions() -> Mapping[str, str]:
    """Versions of Python and of the libraries that compute."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[library] = importlib.metadata.version(library)
    return found


@cache
def commit() -> str:
    """The commit of this project where it runs from a git checkout, with `+` for local changes."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", os.fspath(root), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def machine_here(options: Options, asked: Mapping[str, float]) -> Machine:
    """The machine on the node that runs this. Raises: UsageError for a device that is not there."""
    changed = {"threads": options.threads or int(asked["num_cpus"])}
    if not asked["num_gpus"] and options.device == "auto":
        changed["device"] = "cpu"  # Ray hides no GPU from those who asked for none
    return resolve(options.model_copy(update=changed))
