"""Writes a report's files beside the cells, each in one atomic step. What the report says is in `page.py`."""

import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas

import results
from reports import escape, render
from reports.page import page
from reports.render import Grid
from results.claims import is_running
from results.diagnosis import Finding, diagnose


def write(
    out: Path | str,
    runs: pandas.DataFrame | None = None,
    cells: Sequence[str] | None = None,
    command: str = "",
) -> dict[str, Path]:
    """Writes report.md, report.html, results.parquet and results.csv into `out`; returns the paths by name.

    `runs` is a frame of `results.read`; None reads `out`. `cells` limits the two reports to these cell ids,
    in answer to one command; the two tables always hold every row. `command` is printed as the way to repeat.

    Raises: ValueError when there is no row to show; FileNotFoundError when `runs` is None and `out` has none.
    """
    folder = Path(out)
    frame = results.read(folder) if runs is None else runs
    shown = frame if cells is None else frame[frame["cell"].isin(list(cells))]
    if shown.empty:
        asked = (
            "no cell" if cells is None else f"none of the {render.counted(len(cells), 'cell')} asked for"
        )
        stored = render.counted(len(frame), "stored cell")
        raise ValueError(f"Nothing to report: {asked} is among the {stored}. Run the sweep first.")
    absent = [] if cells is None else [cell for cell in cells if cell not in set(frame["cell"])]
    curves, audits = _read_curves(folder), results.audits(folder)
    content = page(shown, curves, _diagnose(shown, curves, audits, folder), audits, absent, len(frame), command)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "report.md": _template("report.md", html=False).render(content).encode(),
        "report.html": _template("report.html", html=True).render(content).encode(),
        "results.csv": render.csv_text(frame).encode(),
        "results.parquet": _parquet(frame),
    }
    return {name: _write_atomically(folder / name, content) for name, content in contents.items()}


def _read_curves(folder: Path) -> dict[str, pandas.DataFrame]:
    """The stored training curves by cell id; none where nothing was stored (the page then says so)."""
    try:
        curves = results.curves(folder)
    except FileNotFoundError:
        return {}
    return {str(cell): table for cell, table in curves.groupby("cell", sort=False)}


def _diagnose(
    runs: pandas.DataFrame, curves: dict[str, pandas.DataFrame], audits: dict[str, dict[str, Any]], folder: Path
) -> dict[str, tuple[Finding, ...]]:
    """The findings of the finished cells by cell id, from their rows, curves, pair tables with every evaluation, and
    the audit of their protocol's rows."""
    try:
        stored = results.pairs(folder, step="all", split=None)
    except FileNotFoundError:
        tables: dict[str, pandas.DataFrame] = {}
    else:
        tables = {str(cell): table for cell, table in stored.groupby("cell", sort=False)}
    return {
        row["cell"]: diagnose(row, curves.get(row["cell"]), tables.get(row["cell"]), audits.get(row["protocol"]))
        for row in runs[runs["status"] == "done"].to_dict("records")
    }


def _template(name: str, *, html: bool) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "md": escape.markdown,
        "md_code": escape.markdown_code,
        "head_groups": _head_groups,
    }
    return environment.get_template(name)


def _head_groups(grid: Grid) -> list[tuple[str, int]]:
    """The groups of a table's headings in order, with how many columns each spans."""
    return [
        (group, len(list(same))) for group, same in itertools.groupby(head.group for head in grid.heads)
    ]


def _parquet(frame: pandas.DataFrame) -> bytes:
    """The frame as Parquet; values that are neither text nor number (a row's extra keys) become JSON text."""
    mixed = [name for name in frame.columns if frame[name].dtype == object]
    plain = frame.assign(**{name: frame[name].map(_plain) for name in mixed})
    return plain.to_parquet(None, index=False)


def _plain(value: Any) -> Any:
    if render.is_missing(value):
        return None
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _write_atomically(path: Path, content: bytes) -> Path:
    """Writes to a name of its own, then renames: a reader sees the old file or the new one, never a half."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        process = left.name.split(".")[-2]
        if not process.isdecimal() or not is_running(int(process)):
            left.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with open(temporary, "xb") as file:  # never through a link that somebody put there
            file.write(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
