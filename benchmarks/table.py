"""Numbers as lines of markdown, ready for a README."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.turns import Found, Ratio, largest, ratio, typical

GIB = 2**30
LIBRARIES = ("python", "torch", "transformers", "peft", "trl")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def number(value: float | None, unit: str = "") -> str:
    """Three significant digits, or a dash where nothing was measured."""
    if value is None:
        return "-"
    return (f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}") + unit


def gibibytes(value: float | None) -> str:
    """Bytes in GiB."""
    return "-" if value is None else f"{value / GIB:.1f} GiB"


def times(value: Ratio | None) -> str:
    """A ratio with its extremes."""
    return "-" if value is None else f"{value.median:.2f} ({value.low:.2f} to {value.high:.2f})"


def machine_line(found: Sequence[Found]) -> str:
    """Which machine and which versions the numbers are of."""
    machine = next((one["machine"] for one in found if "machine" in one), None)
    if machine is None:
        return "nothing was measured"
    versions = ", ".join(f"{name} {machine['versions'][name]}" for name in LIBRARIES if name in machine["versions"])
    return f"{machine['device_name']}, {machine['threads']} threads, {machine['precision']}; {versions}"


def compared(turns: Sequence[dict[str, Found]], ours: str, others: Sequence[str], **more: Any) -> list[str]:
    """A row for each side, with how many times it needs what `ours` needs.

    more: column title -> function of a side's name, for columns between time and ratio.
    """
    names = [ours, *others]
    rows = []
    for name in names:
        memory, least = largest(turns, name), largest(turns, ours)
        rows.append(
            [
                name,
                number(typical(turns, name, "seconds")),
                number(typical(turns, name, "cpu_seconds")),
                gibibytes(memory),
                *(column(name) for column in more.values()),
                *(
                    ["1", "1", "1"]
                    if name == ours
                    else [
                        times(ratio(turns, name, ours, "seconds")),
                        times(ratio(turns, name, ours, "cpu_seconds")),
                        number(memory / least) if memory and least else "-",
                    ]
                ),
            ]
        )
    head = ["", "s a pair", "CPU s a pair", "peak memory", *more, "time ratio", "CPU time ratio", "memory ratio"]
    return table(head, rows)


def failures(turns: Sequence[dict[str, Found]]) -> list[str]:
    """A sentence for each measurement that failed."""
    return [
        f"turn {number}: {name} FAILED: {found['error']}"
        for number, turn in enumerate(turns, start=1)
        for name, found in turn.items()
        if "error" in found
    ]
