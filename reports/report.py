"""Writes a report's files beside the cells, each in one atomic step. What the report says is in `page.py`."""

import base64
import hashlib
import itertools
import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas
from markupsafe import Markup

import results
from reports import exports
from reports.content.evidence import read_evidence
from reports.figures import drawing
from reports.page import page
from reports.text import escape, numbers
from reports.text.grids import Grid
from results.cells.lock import is_running


def write(
    out: Path | str,
    runs: pandas.DataFrame | None = None,
    cells: Sequence[str] | None = None,
    command: str = "",
    *,
    tables: Sequence[str] = (),
    figures: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> dict[str, Path]:
    """Writes report.md, report.html, results.parquet and results.csv into `out`; returns the paths by name.

    `runs` is a frame of `results.read`; None reads `out`. `cells` limits the two reports to these cell ids,
    in answer to one command; the two tables always hold every row. `command` is printed as the way to repeat.
    `tables` ("latex", "markdown", "csv") and `figures` ("svg", "png") also write the table of settings and every figure
    as files of their own, into tables/ and figures/; `metrics` are the measures of those tables, row columns in place
    of the usual ones.

    Raises: ValueError when there is no row to show, or for an unknown form or metric; FileNotFoundError when `runs` is
    None and `out` has none.
    """
    folder = Path(out)
    exports.check(tables, figures, metrics)
    frame = results.read(folder) if runs is None else runs
    shown = _asked_for(frame, cells)
    absent = [] if cells is None else [cell for cell in cells if cell not in set(frame["cell"])]
    evidence = read_evidence(folder, shown)
    content = page(shown, evidence, absent, len(frame), command) | _decoration()
    contents = {
        "report.md": _template("report.md", html=False).render(content).encode(),
        "report.html": _template("report.html", html=True).render(content).encode(),
        "results.csv": numbers.csv_text(frame).encode(),
        "results.parquet": _parquet(frame),
        **{f"tables/{name}": text.encode() for name, text in exports.table_files(shown, evidence, tables, metrics)},
        **{f"figures/{name}": drawn for name, drawn in exports.figure_files(content["sections"], figures)},
    }
    for place in {(folder / name).parent for name in contents}:
        place.mkdir(parents=True, exist_ok=True)
    return {name: _write_atomically(folder / name, content) for name, content in contents.items()}


def _asked_for(runs: pandas.DataFrame, cells: Sequence[str] | None) -> pandas.DataFrame:
    """The rows of these cells, of all where None. Raises: ValueError where there is none."""
    shown: pandas.DataFrame = runs if cells is None else runs[runs["cell"].isin(list(cells))]
    if shown.empty:
        asked = "no cell" if cells is None else f"none of the {numbers.counted(len(cells), 'cell')} asked for"
        stored = numbers.counted(len(runs), "stored cell")
        raise ValueError(f"Nothing to report: {asked} is among the {stored}. Run the sweep first.")
    return shown


def _decoration() -> dict[str, Any]:
    """The page's colours and its script, with the digest that lets this script run and no other."""
    script = resources.files("reports").joinpath("templates/sort.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "light": Markup(drawing.css(drawing.LIGHT)),
        "dark": Markup(drawing.css(drawing.DARK)),
        "script": Markup(script),
        "script_digest": f"sha256-{digest}",
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
        "md_table": exports.markdown,
        "head_groups": _head_groups,
        "drawn": Markup,
        "capitalised": lambda text: text[:1].upper() + text[1:],
    }
    return environment.get_template(name)


def _head_groups(grid: Grid) -> list[tuple[str, int]]:
    """The groups of a table's headings in order, with how many columns each spans."""
    return [(group, len(list(same))) for group, same in itertools.groupby(head.group for head in grid.heads)]


def _parquet(frame: pandas.DataFrame) -> bytes:
    """The frame as Parquet; values that are neither text nor number (a row's extra keys) become JSON text."""
    mixed = [name for name in frame.columns if frame[name].dtype == object]
    plain = frame.assign(**{name: frame[name].map(_plain) for name in mixed})
    return plain.to_parquet(None, index=False)


def _plain(value: Any) -> Any:
    if numbers.is_missing(value):
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
