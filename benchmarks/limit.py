"""The part `limit`: how much of our step its matrix products alone would need on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.settings import Settings
from benchmarks.step import OURS, words_of
from benchmarks.table import failures, machine_line, number, table
from benchmarks.turns import Found, Say, in_turns, measured, ratio, typical

PRODUCTS = "products"


def measure(settings: Settings, say: Say) -> list[dict[str, Found]]:
    """The products alone and our step, in turns."""
    spec = {"words": words_of(settings)}
    return in_turns(
        {side: lambda side=side: measured(spec | {"side": side}) for side in (PRODUCTS, OURS)}, settings.turns, say
    )


def lines(turns: Sequence[dict[str, Found]], settings: Settings) -> list[str]:
    """Seconds a pair of products and step, the share, and the rates."""
    step, alone = typical(turns, OURS, "seconds"), typical(turns, PRODUCTS, "seconds")
    operations = typical(turns, PRODUCTS, "operations")
    slower = ratio(turns, OURS, PRODUCTS, "seconds")
    rows = [
        ["linear maps, alone", number(typical(turns, PRODUCTS, "maps_seconds")), "", ""],
        ["head over scored tokens, alone", number(typical(turns, PRODUCTS, "head_seconds")), "", ""],
        ["all products, alone", number(alone), _rate(operations, alone), _share(operations, alone, settings)],
        ["our step", number(step), _rate(operations, step), _share(operations, step, settings)],
    ]
    share = (
        f"share of our step that its products alone would need: {100 / slower.median:.0f} % "
        f"({100 / slower.high:.0f} to {100 / slower.low:.0f} %)"
        if slower
        else "not measured on both sides"
    )
    return [
        machine_line([one for turn in turns for one in turn.values()]),
        "",
        *table(["", "s a pair", "TFLOP/s of these products", "of the peak"], rows),
        "",
        share,
        *failures(turns),
    ]


def _rate(operations: float | None, seconds: float | None) -> str:
    return number(operations / seconds / 1e12) if operations and seconds else "-"


def _share(operations: float | None, seconds: float | None, settings: Settings) -> str:
    """Of the peak that the command names: it is a data sheet's figure, and no library knows it."""
    if settings.peak_tflops is None or not operations or not seconds:
        return "-"
    return f"{operations / seconds / settings.peak_tflops / 1e10:.0f} %"
