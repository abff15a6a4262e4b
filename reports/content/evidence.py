"""Reads what a report rests on beside the rows: curves, pair tables, what the diagnosis finds, audits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas

import results
from results.cells import searches
from results.cells.frames import by_cell, rows_of
from results.inference.best_of_n_trials import best_of_n
from results.metrics.diagnosis import Finding, diagnose


@dataclass(frozen=True)
class Evidence:
    """What lies beside the rows, by cell id: training curves, test rows of the last evaluation, findings; audits by
    protocol; and the expected best of n trials (`results.tuning.best_of_n`). Empty where nothing was stored."""

    curves: Mapping[str, pandas.DataFrame] = field(default_factory=dict)
    tables: Mapping[str, pandas.DataFrame] = field(default_factory=dict)
    findings: Mapping[str, Sequence[Finding]] = field(default_factory=dict)
    audits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tuning: pandas.DataFrame = field(default_factory=pandas.DataFrame)


def read_evidence(folder: Path, runs: pandas.DataFrame) -> Evidence:
    """What is stored in a folder about some rows of `results.read`."""
    curves, measured, audits = _curves(folder), _measured(folder), results.audits(folder)
    findings = {
        row["cell"]: diagnose(row, curves.get(row["cell"]), measured.get(row["cell"]), audits.get(row["protocol"]))
        for row in rows_of(runs[runs["status"] == "done"])
    }
    tables = {cell: _last_test(measured[cell]) for cell in findings if cell in measured}
    tuning = best_of_n(folder) if searches.record(folder) else pandas.DataFrame()
    return Evidence(curves, tables, findings, audits, tuning)


def held_out_tables(folder: Path) -> dict[str, pandas.DataFrame]:
    """The test rows of each cell's last evaluation, by cell id: what verdicts are tested on."""
    return {cell: _last_test(table) for cell, table in _measured(folder).items()}


def _curves(folder: Path) -> dict[str, pandas.DataFrame]:
    try:
        curves = results.curves(folder)
    except FileNotFoundError:
        return {}
    return by_cell(curves)


def _measured(folder: Path) -> dict[str, pandas.DataFrame]:
    """The pair tables with every evaluation and split."""
    try:
        stored = results.pairs(folder, step="all", split=None)
    except FileNotFoundError:
        return {}
    return by_cell(stored)


def _last_test(table: pandas.DataFrame) -> pandas.DataFrame:
    """The test rows of the last evaluation."""
    last: pandas.DataFrame = table[(table["split"] == "test") & (table["step"] == table["step"].max())]
    return last
