"""Milliseconds of each loss on 4,096 pairs: value alone, and value with gradient. `python -m benchmarks.losses`

Medians over the runs, in float32 with two threads at most. Completions hold up to 12 tokens; a loss that reads single
tokens is measured once more on completions of 128, where memory traffic over [N, 128] decides.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import torch

import losses

probe = sys.modules["losses.checks.probe"]  # the module: `losses.probe` is the function of that name

PAIRS = 4096
RUNS = 15


def milliseconds(call: Callable[[], object]) -> float:
    """The median time of a call after one to warm up."""
    call()
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1000.0 * statistics.median(times)


class Times(NamedTuple):
    """Milliseconds."""

    value: float
    with_gradient: float


def measure(loss: losses.Loss, tokens: int = probe.POSITIONS) -> Times:
    """A loss on random completions of up to `tokens`; a pointwise loss sees both completions of each pair."""
    make = losses.random_pairs if loss.kind == "pairwise" else losses.random_examples
    rows = PAIRS if loss.kind == "pairwise" else 2 * PAIRS
    with mock.patch.object(probe, "POSITIONS", tokens):
        rooted = probe.with_leaves(make(rows, seed=0, needs=loss.needs))

    def value() -> torch.Tensor:
        return loss.fn(rooted.batch, **loss.defaults).sum()

    def gradient() -> object:
        return torch.autograd.grad(value(), rooted.leaves, retain_graph=True, allow_unused=True)

    return Times(milliseconds(value), milliseconds(gradient))


def main() -> None:
    """Prints one line a loss, slowest last."""
    torch.set_num_threads(min(2, torch.get_num_threads()))
    seen = {name: measure(losses.get(name)) for name in losses.names()}
    for name in losses.names():
        if "tokens" in losses.get(name).needs:
            seen[f"{name}, 128 tokens"] = measure(losses.get(name), tokens=128)
    print(f"{'loss':26} {'value':>8} {'+ gradient':>11}   ms on {PAIRS:,} pairs, median of {RUNS}")
    for name, times in sorted(seen.items(), key=lambda item: item[1].with_gradient):
        print(f"{name:26} {times.value:8.2f} {times.with_gradient:11.2f}")


if __name__ == "__main__":
    main()
