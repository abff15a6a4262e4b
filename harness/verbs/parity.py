"""`list losses parity`: our losses beside those of other libraries, computed as it is printed.

"same" is a result and no claim: values and gradients agreed a moment ago, on the fixed set of losses/checks/parity.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import losses
from harness.text_tables import table
from losses.checks.parity import (
    EDGES,
    GRADIENT_TOLERANCE,
    PAIRS,
    PAIRS_A_MICRO_BATCH,
    VALUE_TOLERANCE,
    Parity,
    compare,
    read_ours,
)
from losses.checks.parity_peers import LIBRARIES, NOT_COMPARED, PEERS

NONE = "-"
APART = "see below"


def parity() -> str:
    """The table, then how each difference comes about, where a library's loss breaks, and what stands alone."""
    order = [(name, library) for name in losses.names() for library in LIBRARIES]
    results = sorted(map(compare, PEERS), key=lambda r: order.index(_place(r)))
    differing = [result for result in results if not result.is_same]
    alone = [name for name in _built_in() if not any((name, library) in _places() for library in LIBRARIES)]
    numbered = [(f"[{i}]", _difference(r)) for i, r in enumerate(differing, start=1)]
    defaults = [(_name(r), _defaults(r)) for r in results if r.peer.as_it_comes]
    apart = [(f"{name}, {library}", why) for (name, library), why in NOT_COMPARED.items()]
    parts = [
        _legend(),
        _main_table(results, [_place(result) for result in differing]),
        _section("How they differ", numbered),
        _section("Not finite where ours is", _breaks(results)),
        _section("At a library's own defaults", defaults),
        _section("Not compared", apart),
        _section("In none of these libraries", [("", ", ".join(alone))]),
    ]
    return "\n".join(part for part in parts if part)


def _legend() -> str:
    about = (
        f"The mean over {PAIRS} fixed pairs of log-probs, at our default hyper-parameters. The other libraries are\n"
        f"computed in micro-batches of {PAIRS_A_MICRO_BATCH} pairs, as they train.\n"
    )
    meanings = [
        ("same", f"values agree to {VALUE_TOLERANCE:g} and gradients to {GRADIENT_TOLERANCE:g}, relative above 1"),
        ("NUMBER [n]", "what the library computes instead; the note says why"),
        (NONE, "no such loss in the version that was read"),
    ]
    return about + "\n" + _lines(meanings + list(LIBRARIES.items()))


def _main_table(results: Sequence[Parity], differing: Sequence[tuple[str, str]]) -> str:
    cells = dict.fromkeys(NOT_COMPARED, APART)
    for result in results:
        place = _place(result)
        cells[place] = "same"
        if not result.is_same:
            cells[place] = f"{_number(result.theirs.value)} [{differing.index(place) + 1}]"
    rows = []
    for name in _built_in():
        row = [cells.get((name, library), NONE) for library in LIBRARIES]
        if any(cell != NONE for cell in row):
            rows.append((name, _number(read_ours(losses.get(name)).value), *row))
    return table(("loss", "ours", *LIBRARIES), rows)


def _built_in() -> list[str]:
    return [name for name in losses.names() if losses.get(name).source is None]


def _places() -> set[tuple[str, str]]:
    return {(peer.ours, peer.library) for peer in PEERS} | set(NOT_COMPARED)


def _place(result: Parity) -> tuple[str, str]:
    return result.peer.ours, result.peer.library


def _lines(rows: Sequence[tuple[str, str]]) -> str:
    indented = [(f"  {name}", text) for name, text in rows]
    return table(indented[0], indented[1:])


def _section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    return f"{title}\n{_lines(rows)}" if any(text for _, text in rows) else ""


def _difference(result: Parity) -> str:
    """Which two losses, both values, how far their gradients are apart, and the declared reason."""
    whole = " The same when the whole batch is one micro-batch." if result.ours.equals(result.whole) else ""
    return (
        f"{_name(result)} ({result.peer.called}): {_number(result.theirs.value)}, ours "
        f"{_number(result.ours.value)}; gradients up to {result.ours.gap_to(result.theirs):.1e} apart: "
        f"{result.peer.why}.{whole}"
    )


def _breaks(results: Sequence[Parity]) -> list[tuple[str, str]]:
    """Edge case -> the losses that have no finite value, or no finite gradient, there."""
    lines = []
    for case in EDGES:
        broken = [(r, "value" if r.breaks[case].has_no_value else "gradient") for r in results if case in r.breaks]
        for what in ("value", "gradient"):
            named = ", ".join(f"{r.peer.ours} ({r.peer.library})" for r, part in broken if part == what)
            if named:
                lines.append((f"{what} at {case}", named))
    return lines


def _defaults(result: Parity) -> str:
    value, ours = _number(result.as_it_comes.value), _number(result.ours.value)
    return f"{value}, ours at our defaults {ours}: {result.peer.as_it_comes}"


def _name(result: Parity) -> str:
    return f"{result.peer.ours}, {result.peer.library}"


def _number(value: float) -> str:
    return f"{value:.6g}"
