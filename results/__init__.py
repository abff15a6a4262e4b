"""What was measured: the schema, the metrics, the store, and the tables that it holds.

    results.read("runs")      one row a cell
    results.pairs("runs")     one row a held-out pair
    results.curves("runs")    one row a logged training step
    results.metrics_long("runs")    one row a cell and metric, with its error, count, unit and direction
    results.compare("runs")   one row a comparison of two settings, with its verdict
    results.seeds_needed("runs", "preference_accuracy", 0.03)    seeds of each side that would find this difference
    results.across("runs", "other")    one row a cell that both folders hold
    results.search("runs")    one row a cell's part in a search and its confirmation
    results.audits("runs")    what was found about the rows, by protocol
    results.read_annotations("annotations.json")    one row a published verdict

Importing this package is cheap; pandas and numpy load when a name that needs them is first used.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.cells.long_form import metrics_long
    from results.cells.read import audits, curves, pairs, read, search
    from results.inference.compare import compare
    from results.inference.seeds_needed import seeds_needed
    from results.inference.two_folders import across
    from results.literature.alpacaeval import read_annotations

_FUNCTIONS = {
    "across": "inference.two_folders",
    "audits": "cells.read",
    "compare": "inference.compare",
    "curves": "cells.read",
    "metrics_long": "cells.long_form",
    "pairs": "cells.read",
    "read": "cells.read",
    "read_annotations": "literature.alpacaeval",
    "search": "cells.read",
    "seeds_needed": "inference.seeds_needed",
}
_MODULES = {
    "annotations": "literature.alpacaeval",
    "columns": "schema.row",
    "comparison": "inference.compare",
    "diagnosis": "metrics.diagnosis",
    "exponents": "inference.exponents",
    "frontiers": "inference.frontiers",
    "inference": "inference",
    "metrics": "metrics",
    "settings": "inference.settings",
    "statistics": "metrics.statistics",
    "store": "cells.store",
    "tuning": "inference.best_of_n_trials",
    "verdicts": "metrics.win_rates",
}

__all__ = [
    "across",
    "annotations",
    "audits",
    "columns",
    "compare",
    "comparison",
    "curves",
    "diagnosis",
    "exponents",
    "frontiers",
    "inference",
    "metrics",
    "metrics_long",
    "pairs",
    "read",
    "read_annotations",
    "search",
    "seeds_needed",
    "settings",
    "statistics",
    "store",
    "tuning",
    "verdicts",
]


def __getattr__(name: str) -> Any | ModuleType:
    """The door's names, loaded at first use."""
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"results.{_FUNCTIONS[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"results.{_MODULES[name]}")
    raise AttributeError(f"module 'results' has no attribute {name!r}; it has: {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return sorted(__all__)
