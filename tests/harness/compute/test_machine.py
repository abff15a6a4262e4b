"""What this machine has, and what it used."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.compute.machine import peak_memory, reset_peak_memory, resolve, versions
from harness.errors import UsageError
from harness.options.cards import make

ROOT = Path(__file__).resolve().parents[2]


def options(**changes):
    return make({"suite": "imdb-sentiment", "losses": ["dpo"], **changes})


def test_auto_is_resolved_and_named():
    machine = resolve(options(device="cpu"))
    assert machine.device == "cpu" and machine.precision in ("fp32", "bf16") and len(machine.device_name) > 5
    assert machine.threads == torch.get_num_threads()


def test_bf16_is_only_chosen_where_the_hardware_computes_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    assert resolve(options(device="cpu")).precision == "fp32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert resolve(options(device="cpu")).precision == "bf16"
    assert resolve(options(device="cpu", precision="fp32")).precision == "fp32"


def test_a_device_that_is_not_here_is_refused_with_those_that_are():
    with pytest.raises(UsageError, match="cuda:9: this machine has cpu"):
        resolve(options(device="cuda:9"))


def test_peak_memory_sees_what_was_used_since_the_reset():
    reset_peak_memory("cpu")
    before = peak_memory("cpu")
    block = torch.ones(64 * 2**20 // 4)
    assert peak_memory("cpu") - before > 48 * 2**20
    del block


def test_versions_name_the_libraries_that_compute():
    assert {"python", "torch", "transformers"} <= set(versions())


MEASURED = """
import resource, sys
import torch
from harness.compute.machine import peak_memory, reset_peak_memory, return_memory, reuse_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(2**26)  # 256 MiB, 65,536 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    reset_peak_memory("cpu")
    return peak_memory("cpu")

fresh = faults()
reuse_memory()
faults()
kept, held = faults(), int(open("/proc/self/statm").read().split()[1]) * 4096
return_memory()
print(fresh, kept, held - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory in another way")
def test_freed_memory_is_kept_for_the_next_tensors_until_it_is_given_back():
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True, cwd=ROOT)
    fresh, kept, returned = map(int, done.stdout.split())
    # Pages may be huge ones, so that faults are fewer; kept ones fault no more.
    assert kept < fresh / 10 and returned > 192 * 2**20
