"""The tables for a terminal: plain text, one a protocol, fitted to its width."""

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas

from reports.content import headline, notes, verdict
from reports.content.evidence import Evidence, held_out_tables
from reports.content.fields import COMPLETIONS, MEASURES
from reports.content.judges import JUDGE, JUDGED, judgements
from reports.content.tables import (
    Protocol,
    detail_fields,
    protocols,
    setting_fields,
    source_fields,
    with_completions,
    with_parameters,
)
from reports.text import numbers
from reports.text.grids import Grid, grid
from reports.text.numbers import Field
from results.inference.test import CLAIM_SEEDS

_FALLBACK_WIDTH = 120
_GAP = "  "


def terminal(runs: pandas.DataFrame, width: int | None = None, folder: Path | str | None = None) -> str:
    """The runs as aligned text, one table a protocol, baselines first, notes below.

    `width` is in characters; None asks the terminal, and takes 120 where there is none. What does not fit is
    named below the table. `folder` holds the cells: their pair tables allow the report's verdict.
    Raises: ValueError when a needed column is missing.
    """
    columns = width if width is not None else shutil.get_terminal_size((_FALLBACK_WIDTH, 24)).columns
    if runs.empty:
        return "No cells."
    evidence = None
    if folder is not None:  # below the seeds of a verdict nothing is tested, so nothing need be read
        testable = runs["seed"].nunique() >= CLAIM_SEEDS
        evidence = Evidence(tables=held_out_tables(Path(folder)) if testable else {})
    return "\n\n\n".join(_block(protocol, columns, evidence) for protocol in protocols(runs))


def _block(protocol: Protocol, width: int, evidence: Evidence | None) -> str:
    parts = ["\n".join(_filled("; ".join(f"{name} {value}" for name, value in notes.identity(protocol)), width))]
    hidden: tuple[Field, ...] = ()
    if len(protocol.done):
        table, hidden = _fitted(protocol.done, MEASURES, width)
        parts.append(table)
        if sources := source_fields(protocol.done):
            settings = setting_fields(protocol.done)
            parts.append(_aligned(with_parameters(protocol.done, settings), (*settings, *sources)))
        judged = judgements(protocol.done)
        if len(judged):
            parts.append(_fitted(judged, (JUDGE, *JUDGED), width)[0])
    completed = with_completions(protocol.done)
    if len(completed):
        table, left_out = _fitted(completed, detail_fields(completed, COMPLETIONS), width)
        parts += ["\n".join(_filled(notes.completions(completed), width)), table]
        hidden += left_out
    further = [field for field in detail_fields(protocol.done) if field.short and field not in (JUDGE, *JUDGED)]
    if further:
        measured = protocol.done[protocol.done[[field.column for field in further]].notna().any(axis=1)]
        table, left_out = _fitted(measured, further, width)
        parts.append(table)
        hidden += left_out
    parts.append("\n".join(_below(protocol, hidden, width, evidence)))
    return "\n\n".join(part for part in parts if part)


def _fitted(rows: pandas.DataFrame, measures: Sequence[Field], width: int) -> tuple[str, tuple[Field, ...]]:
    """The table with as many fields as fit, and the fields left out."""
    settings = setting_fields(rows)
    frame = with_parameters(rows, settings)
    shown = [field for field in (*settings, *measures) if field.short]
    leaving = sorted((field for field in shown if field.drop), key=lambda field: -field.drop)
    hidden: list[Field] = []
    text = _aligned(frame, shown)
    while leaving and len(text.partition("\n")[0]) > width:
        hidden.append(leaving.pop(0))
        text = _aligned(frame, [field for field in shown if field not in hidden])
    return text, tuple(hidden)


def _aligned(frame: pandas.DataFrame, fields: Sequence[Field]) -> str:
    """The rows under their headings, numbers to the right, a rule between baselines and losses, and between
    rows that are not compared."""
    shown = grid(frame, fields)
    height = max(field.short.count("\n") + 1 for field in fields)
    heads = [field.short.split("\n") for field in fields]
    heads = [[""] * (height - len(head)) + head for head in heads]
    widths = [
        max(len(text) for text in (*head, *(line.texts[place] for line in shown.lines)))
        for place, head in enumerate(heads)
    ]
    rule = _GAP.join("-" * width for width in widths)
    lines = [
        *(_row([head[place] for head in heads], shown, widths) for place in range(height)),
        rule,
    ]
    for number, line in enumerate(shown.lines):
        before = shown.lines[number - 1]
        if number and (before.group != line.group or (before.control and not line.control)):
            lines.append(rule)
        lines.append(_row(line.texts, shown, widths))
    return "\n".join(lines)


def _row(texts: Sequence[str], grid: Grid, widths: Sequence[int]) -> str:
    padded = [
        text.rjust(width) if head.numeric else text.ljust(width)
        for text, head, width in zip(texts, grid.heads, widths, strict=True)
    ]
    return _GAP.join(padded)


def _below(protocol: Protocol, hidden: tuple[Field, ...], width: int, evidence: Evidence | None) -> list[str]:
    """The lines under the table: verdicts, notes, own rewards, what was left out, cells without a result."""
    texts = [
        *_verdicts(protocol, evidence),
        *notes.notes(protocol),
        notes.diagnosed(protocol),
        notes.own_rewards(protocol),
    ]
    if hidden:
        texts.append(f"Not shown at this width: {', '.join(field.column for field in hidden)}.")
    if len(protocol.unfinished):
        texts.append(f"{numbers.counted(len(protocol.unfinished), 'cell')} without a result:")
    lines = [line for text in texts if text for line in _filled(text, width)]
    return lines + [line for text in notes.unfinished(protocol) for line in _filled(text, width, "  ")]


def _verdicts(protocol: Protocol, evidence: Evidence | None) -> list[str]:
    """The verdict on each group of equal data perturbations with what it rests on; without evidence, what the seeds
    allow to say."""
    if evidence is None:
        return [notes.finding(protocol)]
    found = verdict.verdicts(protocol, headline.standings(protocol, evidence))
    named = {"better": "Verdict: ", "tied": "Verdict: ", "none": ""}
    return [named[one.kind] + " ".join((one.text, *one.evidence)) for one in found]


def _filled(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, max(width, 40), initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    )
