"""Composes what a report says, as plain data that the templates lay out; `report.py` writes it to files."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas
from markupsafe import Markup

from reports.content import headline, notes, tables, verdict
from reports.content.data_notes import DataNotes, data_notes
from reports.content.evidence import Evidence
from reports.content.fields import COMPLETIONS, DETAILS, MEASURES
from reports.content.tables import Protocol
from reports.content.verdict import Verdict
from reports.figures import curves as figures
from reports.figures import strips
from reports.figures.axes import axis_blocks
from reports.figures.drawing import COLOURS, CONTROL, Drawing, FigureBlock
from reports.figures.frontiers import frontier_blocks
from reports.figures.sensitivity import sensitivity_block
from reports.figures.tuning import tuning_block
from reports.text import escape, numbers
from reports.text.grids import Grid, grid
from results.cells.frames import rows_of
from results.schema.column import LETTERS
from results.schema.row import ROW_COLUMNS

_CURVE_ENDS = ("reward_chosen", "reward_rejected", "margin", "accuracy", "chosen_logp")


@dataclass(frozen=True)
class LossCard:
    """A loss described: its formula, where it comes from, its own reward, conventions, the settings of its cells."""

    name: str
    colour: str
    formula: str
    conventions: str
    paper: str
    reward: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class CurveBlock:
    """The curves of one loss on the page, with the names of its cells."""

    loss: str
    colour: str
    cells: tuple[tuple[str, str], ...]
    left_out: str
    smoothing: str
    drawings: tuple[Drawing, ...]
    ends: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """One protocol on the page: the verdict, what was compared, then everything behind it."""

    anchor: str
    title: str
    apart: str
    verdicts: tuple[Verdict, ...]
    main: Grid | None
    strips: tuple[str, ...]
    span: tuple[str, ...]
    identity: tuple[tuple[str, str], ...]
    summary: str
    warnings: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    diagnosis: tuple[str, ...]
    reading: str
    unfinished: tuple[str, ...]
    completions: Grid | None
    completions_note: str
    cells: Grid | None
    details: Mapping[str, Grid]
    sources: Grid | None
    figures: tuple[FigureBlock, ...]
    cards: tuple[LossCard, ...]
    curves: tuple[CurveBlock, ...]
    panels: int
    undrawn: str
    data: DataNotes


def page(
    runs: pandas.DataFrame, evidence: Evidence, absent: Sequence[str], stored: int, command: str
) -> dict[str, Any]:
    """Everything that the templates lay out."""
    found = tables.protocols(runs)
    colours = loss_colours(runs)
    sections: list[Section] = []
    for place, protocol in enumerate(found):
        room = figures.LOSSES_DRAWN - sum(len(section.curves) for section in sections)
        drawn = figures.loss_curves(protocol.done, evidence.curves, colours, f"s{place}", room)
        apart = notes.apart(protocol, found)
        sections.append(_section(protocol, apart, f"protocol-{place + 1}", evidence, drawn, colours))
    fields = (*MEASURES, *COMPLETIONS, *DETAILS)
    shown = {field.column for field in fields}
    return {
        "title": _title(sections),
        "sections": sections,
        "colours": colours,
        "absent": [escape.visible(cell) for cell in absent],
        "extent": _extent(len(runs), stored),
        "command": escape.visible(command),
        "environment": _environment(runs),
        "letters": LETTERS,
        "definitions": [column for column in ROW_COLUMNS if column.name in shown],
        "arrows": numbers.ARROWS,
    }


def loss_colours(runs: pandas.DataFrame) -> dict[str, str]:
    """One colour key a loss for the whole page, by its displayed name; baselines share a grey."""
    frame = tables.prepared(runs)
    named = frame["loss"].map(lambda loss: numbers.number(loss, "text"))
    contenders = sorted(set(named[~frame["control"]]))
    baselines = dict.fromkeys(named[frame["control"]], CONTROL)
    return baselines | {loss: str(place % COLOURS) for place, loss in enumerate(contenders)}


def _title(sections: Sequence[Section]) -> str:
    """What the report is about: the data and model of its protocols, at most three by name."""
    titles = list(dict.fromkeys(section.title for section in sections))
    rest = f" and {numbers.counted(len(titles) - 3, 'protocol')} more" if len(titles) > 3 else ""
    return ", ".join(titles[:3]) + rest


def _extent(shown: int, stored: int) -> str:
    """How many of the stored cells the report shows."""
    if shown == stored:
        return f"{numbers.counted(shown, 'cell')}, all that this folder holds."
    return f"{numbers.number(shown, 'count')} of the {numbers.counted(stored, 'cell')} that this folder holds."


def _section(
    protocol: Protocol,
    apart: str,
    anchor: str,
    evidence: Evidence,
    drawn: Sequence[figures.LossCurves],
    colours: Mapping[str, str],
) -> Section:
    done = protocol.done
    settings = tables.setting_fields(done)
    rows = tables.with_parameters(done, settings)
    named = [str(protocol.shared[name]) for name in ("suite", "model") if name in protocol.shared]
    return Section(
        anchor=anchor,
        title=escape.visible(" · ".join(named)) or "unnamed data and model",
        apart=apart,
        **_first_screen(protocol, evidence),
        identity=(*notes.identity(protocol), *notes.seeds(headline.ranked(protocol))),
        summary=notes.summary(protocol),
        warnings=notes.warnings(protocol, evidence.findings),
        notes=notes.notes(protocol),
        diagnosis=notes.diagnosis(protocol, evidence.findings),
        unfinished=notes.unfinished(protocol),
        **_completions(rows, settings),
        cells=grid(rows, (*settings, *MEASURES)) if len(done) else None,
        details=_details(rows, settings),
        sources=grid(rows, (*settings, *sources)) if (sources := tables.source_fields(done)) else None,
        figures=tuple(_figures(protocol, evidence, colours, anchor)),
        cards=_cards(protocol, colours),
        curves=tuple(_curve_block(one, evidence.curves, colours, seed=protocol.several_seeds) for one in drawn),
        panels=max((len(one.drawings) for one in drawn), default=1),
        undrawn=_undrawn(done, evidence.curves, drawn),
        data=data_notes(evidence.audits.get(protocol.id, {})),
    )


def _first_screen(protocol: Protocol, evidence: Evidence) -> dict[str, Any]:
    """The verdict and the table of settings with its strips."""
    found = headline.standings(protocol, evidence)
    shown = headline.table(protocol, found)
    span = strips.strip_range(shown)
    drawn = tuple(Markup(strips.strip(row, span)) for row in rows_of(shown))
    fields = tables.headline_fields(shown)
    return {
        "verdicts": verdict.verdicts(protocol, found),
        "main": grid(tables.with_parameters(shown, fields), fields) if len(shown) else None,
        "strips": drawn if any(drawn) else (),
        "reading": notes.reading(protocol, is_tested=bool(found), is_confirmed=headline.has_confirmation(protocol)),
        "span": tuple(numbers.tick(end) for end in span) if any(drawn) else (),
    }


def _completions(rows: pandas.DataFrame, settings: Sequence[numbers.Field]) -> dict[str, Any]:
    """The table of generated completions with its note; none where no cell has any."""
    found = tables.with_completions(rows)
    if found.empty:
        return {"completions": None, "completions_note": ""}
    fields = (*settings, *tables.detail_fields(found, COMPLETIONS))
    return {"completions": grid(found, fields), "completions_note": notes.completions(found)}


def _details(rows: pandas.DataFrame, settings: Sequence[numbers.Field]) -> dict[str, Grid]:
    """The further measures of every cell, a table for each of their groups."""
    shown = itertools.groupby(tables.detail_fields(rows), key=lambda field: field.group)
    return {group: grid(rows, (*settings, *(replace(field, group="") for field in fields))) for group, fields in shown}


def _figures(protocol: Protocol, evidence: Evidence, colours: Mapping[str, str], prefix: str) -> Iterator[FigureBlock]:
    """The figures over all cells, in the order of the page."""
    done, tuning = protocol.done, evidence.tuning
    if len(tuning) and (block := tuning_block(tuning[tuning["protocol"] == protocol.id], colours, prefix)):
        yield block
    yield from axis_blocks(done, colours, prefix)
    if block := sensitivity_block(done, colours, prefix):
        yield block
    yield from frontier_blocks(done, colours, prefix)


def _undrawn(done: pandas.DataFrame, curves: Mapping[str, Any], drawn: Sequence[figures.LossCurves]) -> str:
    """How many losses have curves that are not drawn, as a sentence; empty where all are."""
    count = int(done.loc[done["cell"].isin(curves.keys()), "loss"].nunique()) - len(drawn)
    most = numbers.number(figures.LOSSES_DRAWN, "count")
    return f"Not drawn: {numbers.counted(count, 'loss')}; a page holds the curves of {most}." if count else ""


def _cards(protocol: Protocol, colours: Mapping[str, str]) -> tuple[LossCard, ...]:
    cards = []
    for loss, rows in protocol.done.groupby("loss", sort=False):
        records = rows_of(rows)
        named = dict.fromkeys(numbers.settings(row, seed=False) for row in records)
        first = records[0]
        name = numbers.number(loss, "text")
        cards.append(
            LossCard(
                name=name,
                colour=colours[name],
                formula=_or_empty(first.get("formula")),
                conventions=_or_empty(first.get("conventions")),
                paper=_or_empty(first.get("paper")),
                reward=_or_empty(first.get("reward")),
                settings=tuple(text for text in named if text),
            )
        )
    return tuple(cards)


def _or_empty(value: Any) -> str:
    return "" if numbers.is_missing(value) else numbers.number(value, "text")


def _curve_block(
    drawn: figures.LossCurves,
    curves: Mapping[str, pandas.DataFrame],
    colours: Mapping[str, str],
    *,
    seed: bool,
) -> CurveBlock:
    labels = [numbers.settings(row, seed=seed) or "default settings" for row in drawn.rows]
    name = numbers.number(drawn.loss, "text")
    return CurveBlock(
        loss=name,
        colour=colours[name],
        cells=tuple(zip(labels, (numbers.opacity(value) for value in drawn.opacities), strict=True)),
        left_out=numbers.counted(drawn.left_out, "more cell") if drawn.left_out else "",
        smoothing=f"smoothed over {numbers.counted(drawn.window, 'step')}" if drawn.window > 1 else "not smoothed",
        drawings=drawn.drawings,
        ends=tuple((label, *_ends(curves[row["cell"]])) for label, row in zip(labels, drawn.rows, strict=True)),
    )


def _ends(table: pandas.DataFrame) -> tuple[str, ...]:
    """Where each curve began and ended: means of the first and the last tenth of the logged steps."""
    window = max(1, round(len(table) / figures.SMOOTHED_SHARE))
    return tuple(
        numbers.change(table[name].head(window).mean(), table[name].tail(window).mean(), name) for name in _CURVE_ENDS
    )


def _environment(runs: pandas.DataFrame) -> tuple[tuple[str, str], ...]:
    """What the runs were computed with, as recorded in their rows."""
    found = []
    for name in ("device", "commit", "versions"):
        values = sorted(set(runs[name].dropna())) if name in runs.columns else []
        if values:
            found.append(
                (
                    name,
                    "; ".join(
                        _versions(value) if name == "versions" else escape.visible(str(value)) for value in values
                    ),
                )
            )
    return tuple(found)


def _versions(text: str) -> str:
    """The recorded library versions as a list; text that is no JSON object stays as it is."""
    try:
        known = json.loads(text)
    except ValueError:
        known = None
    if not isinstance(known, dict):
        return escape.visible(text)
    return escape.visible(", ".join(f"{name} {version}" for name, version in sorted(known.items())))
