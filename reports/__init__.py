"""How results are shown: a DataFrame comes in, text, tables and figures go out.

    reports.write("runs")           report.md, report.html, results.parquet and results.csv beside the cells
    reports.write("runs", tables=["latex"], figures=["svg", "png"])    and tables/ and figures/ with files of their own
    reports.table("runs", "latex", metrics=["preference_accuracy", "kl"])    the table of settings as text
    reports.main_table(runs)        the main table as a DataFrame, one row a finished cell
    print(reports.terminal(runs))   the same for a terminal
    print(reports.comparison(results.compare("runs")))   the verdicts on pairs of settings

Nothing is measured here and no verdict is given: numbers and verdicts are those of `results`. The plotting and
template libraries load at first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from reports.text.forms import FIGURES, TABLES

if TYPE_CHECKING:
    from reports.console import terminal
    from reports.content.comparisons import across, comparison
    from reports.content.tables import main_table
    from reports.exports import table
    from reports.report import write

_DOOR = {
    "across": ("reports.content.comparisons", "across"),
    "comparison": ("reports.content.comparisons", "comparison"),
    "write": ("reports.report", "write"),
    "table": ("reports.exports", "table"),
    "main_table": ("reports.content.tables", "main_table"),
    "terminal": ("reports.console", "terminal"),
}

__all__ = ["FIGURES", "TABLES", "across", "comparison", "main_table", "table", "terminal", "write"]


def __getattr__(name: str) -> Any:
    """The door's names, loaded at first use."""
    if name not in _DOOR:
        raise AttributeError(f"module 'reports' has no attribute {name!r}; it has: {', '.join(__all__)}.")
    module, function = _DOOR[name]
    return getattr(importlib.import_module(module), function)


def __dir__() -> list[str]:
    return sorted(__all__)
