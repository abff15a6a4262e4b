"""Writes tables and figures for papers and notes: a grid as LaTeX or Markdown, its numbers as CSV, figures as files.

    reports.table("runs/hh-rlhf", "latex")
    reports.table(runs, "markdown", metrics=["preference_accuracy", "chosen_logp_drift"])

LaTeX needs no package. From a folder, values that may be the best are bold where there are seeds enough; a frame alone
has no pair tables to test on, so nothing is bold.
"""

import hashlib
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas

import results
from reports.content import headline, notes, tables
from reports.content.evidence import Evidence, read_evidence
from reports.content.fields import COMPLETIONS, DETAILS, HEADLINE, MEASURES
from reports.content.tables import Protocol
from reports.figures import drawing
from reports.text import escape, numbers
from reports.text.forms import FIGURES, TABLES
from reports.text.grids import Grid, Line, grid
from reports.text.numbers import Field

if TYPE_CHECKING:
    from reports.page import Section

_HEADING_WIDTH = 13
"""Characters of a line of a heading in LaTeX: those of "0.612 ± 0.031"."""


def table(runs: pandas.DataFrame | Path | str, form: str, metrics: Sequence[str] = ()) -> str:
    """The table of settings as text, one after another where there are several protocols.

    runs:     a folder of runs, or a frame of `results.read`.
    form:     "latex", "markdown" or "csv" (numbers in full precision, errors in columns of their own).
    metrics:  row columns in place of the usual measures.
    Raises: ValueError for an unknown form or metric, or where no cell has finished; FileNotFoundError without runs.
    """
    frame = results.read(runs) if isinstance(runs, Path | str) else runs
    evidence = read_evidence(Path(runs), frame) if isinstance(runs, Path | str) else Evidence()
    found = tables.protocols(frame)
    check([form], (), metrics)
    made = [text for protocol in found for text in _texts(protocol, evidence, [form], metrics)]
    if not made:
        raise ValueError("Nothing to show: no cell has finished. Run the sweep first.")
    return "\n".join(made)


def check(tables_as: Sequence[str], figures_as: Sequence[str], metrics: Sequence[str]) -> None:
    """Holds what is asked for to what there is. Raises: ValueError for an unknown form or metric."""
    for what, given, known in (("table", tables_as, tuple(TABLES)), ("figure", figures_as, FIGURES)):
        for form in given:
            if form not in known:
                raise ValueError(f"unknown form {form!r} of a {what}; known: {', '.join(known)}.")
    fields_of(metrics)


def table_files(
    runs: pandas.DataFrame, evidence: Evidence, forms: Sequence[str], metrics: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """The tables of settings as file names with their text, one a protocol and form."""
    found = tables.protocols(runs) if forms else ()
    for place, protocol in enumerate(found, start=1):
        name = "main" if len(found) == 1 else f"main-{place}"
        for form, text in zip(forms, _texts(protocol, evidence, forms, metrics), strict=False):
            yield f"{name}.{TABLES[form]}", text


def figure_files(sections: "Sequence[Section]", forms: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The figures of a report's sections as file names with their content: curves a loss, then the others."""
    for place, section in enumerate(sections if forms else (), start=1):
        start = "" if len(sections) == 1 else f"{place}-"
        blocks = [(f"curves-{one.loss}", f"{one.loss}: training curves", one.drawings) for one in section.curves]
        blocks += [(block.name, block.title, block.drawings) for block in section.figures]
        for (name, title, drawings), form in itertools.product(blocks, forms):
            yield f"{start}{_slug(name)}.{form}", drawing.file_of(drawings, f"{title} · {section.title}", form)


def _slug(name: str) -> str:
    """A file name for any text: its safe characters, with a digest where others were left out."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:80]
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _texts(protocol: Protocol, evidence: Evidence, forms: Sequence[str], metrics: Sequence[str]) -> Iterator[str]:
    """The table of one protocol in each form; nothing where no cell has finished."""
    measures = fields_of(metrics) if metrics else HEADLINE
    shown = headline.table(protocol, headline.standings(protocol, evidence), measures)
    if shown.empty:
        return
    fields = tables.headline_fields(shown, measures)
    rows = tables.with_parameters(shown, fields)
    made = grid(rows, fields)
    caption = _caption(protocol, is_bold=any(line.best for line in made.lines))
    for form in forms:
        if form == "csv":
            names = [name for field in fields for name in (field.column, f"{field.column}_se") if name in rows.columns]
            yield numbers.csv_text(rows[[*names, "control", "protocol"]])
        elif form == "markdown":
            yield f"{markdown(made)}\n{escape.markdown(caption)}\n"
        else:
            yield latex(made, caption)


def fields_of(metrics: Sequence[str]) -> tuple[Field, ...]:
    """How some row columns are shown. Raises: ValueError naming those that are no numbers of a row."""
    known = {field.column: field for field in (*DETAILS, *COMPLETIONS, *MEASURES)}
    declared = {name: column for name, column in numbers.COLUMNS.items() if column.dtype in ("float64", "Int64")}
    strange = [name for name in metrics if name not in declared]
    if strange:
        raise ValueError(f"unknown metrics {', '.join(strange)}; `list metrics` shows those there are.")
    return tuple(known.get(name) or Field(name, name.replace("_", " "), "ratio") for name in metrics)


def _caption(protocol: Protocol, *, is_bold: bool) -> str:
    """What was compared, and what the errors are."""
    compared = ", ".join(f"{name} {value}" for name, value in notes.identity(protocol))
    last = "Bold: not distinguishable from the best" if is_bold else notes.finding(protocol).replace("`", "")
    confirmed = f" {notes.CONFIRMED}" if headline.has_confirmation(protocol) else ""
    return f"{compared}. ± is one standard error. {last}.{confirmed}"


def markdown(shown: Grid) -> str:
    """A grid as a Markdown table: baselines in italics, values that may be the best bold."""
    heads = [escape.markdown(head.text) + (f" {head.arrow}" if head.arrow else "") for head in shown.heads]
    rule = ["---:" if head.numeric else "---" for head in shown.heads]
    lines = [_marked(line, escape.markdown, ("*", "*"), ("**", "**")) for line in shown.lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, rule, *lines))


def latex(shown: Grid, caption: str) -> str:
    """A grid as a LaTeX table environment that needs no package, with a rule between baselines and losses."""
    columns = "".join("r" if head.numeric else "l" for head in shown.heads)
    heads = [_heading(head.text, head.arrow) for head in shown.heads]
    lines: list[str] = []
    for place, line in enumerate(shown.lines):
        before = shown.lines[place - 1]
        if place and (before.group != line.group or (before.control and not line.control)):
            lines.append("\\hline")
        lines.append(" & ".join(_marked(line, escape.latex, ("\\textit{", "}"), ("\\textbf{", "}"))) + " \\\\")
    body = "\n".join(lines)
    return (
        "\\begin{table}\n\\centering\\scriptsize\\setlength{\\tabcolsep}{3pt}\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\hline\n{' & '.join(heads)} \\\\\n\\hline\n{body}\n\\hline\n"
        f"\\end{{tabular}}\n\\caption{{{escape.latex(caption)}}}\n\\end{{table}}\n"
    )


def _heading(text: str, arrow: str) -> str:
    """A heading over as many lines as keep its column about as narrow as its numbers."""
    parts = textwrap.wrap(f"{text} {arrow}", _HEADING_WIDTH, break_long_words=False, break_on_hyphens=False)
    lines = "\\\\".join(f"\\strut {escape.latex(part)}" for part in parts)
    return f"\\shortstack{{{lines}}}" if len(parts) > 1 else escape.latex(" ".join(parts))


def _marked(line: Line, escaped: Callable[[str], str], baseline: tuple[str, str], best: tuple[str, str]) -> list[str]:
    """The texts of a line, escaped; the first in the form of a baseline, the best ones in that of the best."""
    cells = [escaped(text) for text in line.texts]
    if line.control:
        cells[0] = cells[0].join(baseline)
    return [text.join(best) if place in line.best else text for place, text in enumerate(cells)]
