"""What was measured: the schema, the metrics, the store, and the tables that it holds.

    results.read("runs")      one row a cell
    results.pairs("runs")     one row a held-out pair
    results.curves("runs")    one row a logged training step
    results.audits("runs")    what was found about the rows, by protocol

Importing this package is cheap; pandas and numpy load when a name that needs them is first used.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.reading import audits, curves, pairs, read

_FUNCTIONS = ("audits", "curves", "pairs", "read")
_MODULES = ("columns", "metrics", "statistics", "store")

__all__ = ["audits", "columns", "curves", "metrics", "pairs", "read", "statistics", "store"]


def __getattr__(name: str) -> Any | ModuleType:
    """The door's names, loaded at first use."""
    if name in _FUNCTIONS:
        return getattr(importlib.import_module("results.reading"), name)
    if name in _MODULES:
        return importlib.import_module(f"results.{name}")
    raise AttributeError(f"module 'results' has no attribute {name!r}; it has: {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return sorted(__all__)
