"""Aligned text: a table of columns, and the card of one name."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

WIDTHS = (80, 140)  # characters of a line: the narrowest and the widest that a terminal makes it
WIDTH_IN_FILES = 110


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, cut: bool = False) -> str:
    """Columns as wide as their longest cell; the last one is wrapped (or cut) within the line's width."""
    cells = [headings, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings) - 1)]
    line = min(max(shutil.get_terminal_size((WIDTH_IN_FILES, 24)).columns, WIDTHS[0]), WIDTHS[1])
    indent = sum(widths) + 2 * len(widths)
    lines = []
    for row in cells:
        start = "".join(cell.ljust(width) + "  " for cell, width in zip(row, widths, strict=False))
        width = max(line - indent, 30)
        if cut and len(row[-1]) > width:
            lines.append(start + row[-1][: width - 1].rstrip() + "…")
            continue
        wrapped = textwrap.wrap(row[-1], width, break_on_hyphens=False, break_long_words=False) or [""]
        lines += [(start + wrapped[0]).rstrip()] + [" " * indent + rest for rest in wrapped[1:]]
    return "\n".join(lines) + "\n"


def card(title: str, fields: Sequence[tuple[str, str]]) -> str:
    """One thing in full: its name, then a line for each field that says something."""
    shown = [(name, text) for name, text in fields if text]
    return table((title, ""), [(f"  {name}", text) for name, text in shown])
