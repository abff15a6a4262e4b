"""Composes what a report says, as plain data that the templates lay out; `report.py` writes it to files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas
from markupsafe import Markup

from reports import axes, axis_figures, escape, figures, notes, render, tables
from reports.data_notes import DataNotes, data_notes
from reports.fields import ANSWERS, DETAILS, MEASURES
from reports.render import Grid
from reports.tables import Protocol
from results.columns import ROW_COLUMNS
from results.diagnosis import Finding

_SEED_MEASURES = (
    "preference_accuracy",
    "mean_ratio_accuracy",
    "accuracy_length_balanced",
    "chosen_logp_drift",
    "margin",
)
_CURVE_ENDS = ("reward_chosen", "reward_rejected", "margin", "accuracy", "chosen_logp")


@dataclass(frozen=True)
class LossCard:
    """A loss in words: where it comes from, its own ruler, and the settings of its cells."""

    name: str
    colour: str
    paper: str
    ruler: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class CurveBlock:
    """The curves of one loss on the page, with the words for its cells."""

    loss: str
    colour: str
    cells: tuple[tuple[str, str], ...]
    left_out: str
    smoothing: str
    drawings: tuple[figures.Drawing, ...]
    ends: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class AxisBlock:
    """Accuracy against one axis of the training rows: a drawing, the words for its lines, and the same as a table.

    keys: (setting, colour, dashes) of each line.
    """

    title: str
    svg: str
    keys: tuple[tuple[str, str, int], ...]
    grid: Grid


@dataclass(frozen=True)
class Section:
    """One protocol on the page."""

    anchor: str
    title: str
    identity: tuple[tuple[str, str], ...]
    summary: str
    claim: str
    notes: tuple[str, ...]
    diagnosis: tuple[str, ...]
    rulers: str
    unfinished: tuple[str, ...]
    main: Grid | None
    strips: tuple[str, ...]
    span: tuple[str, str]
    answers: Grid | None
    answers_note: str
    details: Grid | None
    seeds: Grid | None
    sources: Grid | None
    axes: tuple[AxisBlock, ...]
    cards: tuple[LossCard, ...]
    curves: tuple[CurveBlock, ...]
    panels: int
    undrawn: str
    data: DataNotes


def page(
    runs: pandas.DataFrame,
    curves: Mapping[str, pandas.DataFrame],
    findings: Mapping[str, Sequence[Finding]],
    audits: Mapping[str, Mapping[str, Any]],
    absent: Sequence[str],
    stored: int,
    command: str,
) -> dict[str, Any]:
    """Everything that the templates lay out; curves and the findings of a diagnosis by cell id."""
    found = tables.protocols(runs)
    colours = tables.loss_colours(runs)
    sections: list[Section] = []
    for place, protocol in enumerate(found):
        room = figures.LOSSES_DRAWN - sum(len(section.curves) for section in sections)
        drawn = figures.loss_curves(protocol.done, curves, f"s{place}", room)
        data = data_notes(audits.get(protocol.id, {}))
        sections.append(_section(protocol, f"protocol-{place + 1}", curves, findings, drawn, colours, data))
    fields = (*MEASURES, *ANSWERS, *DETAILS)
    shown = {field.column for field in fields}
    return {
        "title": _title(sections),
        "sections": sections,
        "colours": colours,
        "absent": [escape.visible(cell) for cell in absent],
        "extent": _extent(len(runs), stored),
        "command": escape.visible(command),
        "environment": _environment(runs),
        "definitions": [column for column in ROW_COLUMNS if column.name in shown],
        "arrows": render.ARROWS,
    }


def _title(sections: Sequence[Section]) -> str:
    """What the report is about: the data and model of its protocols, at most three by name."""
    titles = list(dict.fromkeys(section.title for section in sections))
    rest = f" and {render.counted(len(titles) - 3, 'protocol')} more" if len(titles) > 3 else ""
    return ", ".join(titles[:3]) + rest


def _extent(shown: int, stored: int) -> str:
    """How many of the stored cells the report shows."""
    if shown == stored:
        return f"{render.counted(shown, 'cell')}, all that this folder holds."
    return (
        f"{render.number(shown, 'count')} of the {render.counted(stored, 'cell')} that this folder holds."
    )


def _section(
    protocol: Protocol,
    anchor: str,
    curves: Mapping[str, pandas.DataFrame],
    findings: Mapping[str, Sequence[Finding]],
    drawn: Sequence[figures.LossCurves],
    colours: Mapping[str, str],
    data: DataNotes,
) -> Section:
    done = protocol.done
    settings = tables.setting_fields(done)
    rows = tables.with_parameters(done, settings)
    span = figures.strip_range(done)
    named = [str(protocol.shared[name]) for name in ("suite", "model") if name in protocol.shared]
    return Section(
        anchor=anchor,
        title=escape.visible(" · ".join(named)) or "unnamed data and model",
        identity=notes.identity(protocol),
        summary=notes.summary(protocol),
        claim=notes.claim(protocol),
        notes=notes.notes(protocol),
        diagnosis=notes.diagnosis(protocol, findings),
        rulers=notes.rulers(protocol),
        unfinished=notes.unfinished(protocol),
        main=render.grid(rows, (*settings, *MEASURES)) if len(done) else None,
        strips=tuple(Markup(figures.strip(row, span)) for row in done.to_dict("records")),
        span=(render.tick(span[0]), render.tick(span[1])),
        **_answers(rows, settings),
        details=render.grid(rows, (*settings, *tables.detail_fields(done))) if len(done) else None,
        seeds=_seeds(protocol),
        sources=render.grid(rows, (*settings, *sources)) if (sources := tables.source_fields(done)) else None,
        axes=tuple(_axis_blocks(done, colours, anchor)),
        cards=_cards(protocol, colours),
        curves=tuple(_curve_block(one, curves, colours, seed=protocol.several_seeds) for one in drawn),
        panels=max((len(one.drawings) for one in drawn), default=1),
        undrawn=_undrawn(done, curves, drawn),
        data=data,
    )


def _answers(rows: pandas.DataFrame, settings: Sequence[render.Field]) -> dict[str, Any]:
    """The table of generated answers with its note; none where no cell was asked."""
    asked = tables.answered(rows)
    if asked.empty:
        return {"answers": None, "answers_note": ""}
    fields = (*settings, *tables.detail_fields(asked, ANSWERS))
    return {"answers": render.grid(asked, fields), "answers_note": notes.answers(asked)}


def _undrawn(done: pandas.DataFrame, curves: Mapping[str, Any], drawn: Sequence[figures.LossCurves]) -> str:
    """How many losses have curves that are not drawn, in words; empty where all are."""
    count = int(done.loc[done["cell"].isin(curves.keys()), "loss"].nunique()) - len(drawn)
    most = render.number(figures.LOSSES_DRAWN, "count")
    return f"Not drawn: {render.counted(count, 'loss')}; a page holds the curves of {most}." if count else ""


def _seeds(protocol: Protocol) -> Grid | None:
    """The means over seeds, or None where every setting has one seed."""
    means = tables.over_seeds(protocol.done, _SEED_MEASURES)
    return render.seed_grid(means, [name for name in _SEED_MEASURES if name in means.columns]) if len(means) else None


def _axis_blocks(done: pandas.DataFrame, colours: Mapping[str, str], anchor: str) -> Iterator[AxisBlock]:
    """One block for each axis that varies among the finished cells."""
    for name in axes.DRAWN:
        points = axes.against(done, name)
        if points.empty:
            continue
        field = axes.FIELDS[name]
        drawing = axis_figures.axis_drawing(points, field.head, colours, f"{anchor}-{name}")
        losses = [render.number(same["loss"].iloc[0], "text") for _, same in points.groupby("setting", sort=False)]
        keys = zip(drawing.keys, (colours[loss] for loss in losses), axis_figures.dashes_of(losses), strict=True)
        yield AxisBlock(drawing.title, Markup(drawing.svg), tuple(keys), render.axis_grid(points, field))


def _cards(protocol: Protocol, colours: Mapping[str, str]) -> tuple[LossCard, ...]:
    cards = []
    for loss, rows in protocol.done.groupby("loss", sort=False):
        records = rows.to_dict("records")
        told = dict.fromkeys(render.settings(row, seed=False) for row in records)
        first = records[0]
        paper, ruler = (_or_empty(first.get(name)) for name in ("paper", "reward"))
        name = render.number(loss, "text")
        cards.append(LossCard(name, colours[name], paper, ruler, tuple(text for text in told if text)))
    return tuple(cards)


def _or_empty(value: Any) -> str:
    return "" if render.is_missing(value) else render.number(value, "text")


def _curve_block(
    drawn: figures.LossCurves,
    curves: Mapping[str, pandas.DataFrame],
    colours: Mapping[str, str],
    *,
    seed: bool,
) -> CurveBlock:
    labels = [render.settings(row, seed=seed) or "default settings" for row in drawn.rows]
    name = render.number(drawn.loss, "text")
    return CurveBlock(
        loss=name,
        colour=colours[name],
        cells=tuple(zip(labels, (render.opacity(value) for value in drawn.opacities), strict=True)),
        left_out=render.counted(drawn.left_out, "more cell") if drawn.left_out else "",
        smoothing=f"smoothed over {render.counted(drawn.window, 'step')}"
        if drawn.window > 1
        else "not smoothed",
        drawings=tuple(replace(drawing, svg=Markup(drawing.svg)) for drawing in drawn.drawings),
        ends=tuple(
            (label, *_ends(curves[row["cell"]])) for label, row in zip(labels, drawn.rows, strict=True)
        ),
    )


def _ends(table: pandas.DataFrame) -> tuple[str, ...]:
    """Where each curve began and ended: means of the first and the last tenth of the logged steps."""
    window = max(1, round(len(table) / figures.SMOOTHED_SHARE))
    return tuple(
        render.change(table[name].head(window).mean(), table[name].tail(window).mean(), name)
        for name in _CURVE_ENDS
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
                        _versions(value) if name == "versions" else escape.visible(str(value))
                        for value in values
                    ),
                )
            )
    return tuple(found)


def _versions(text: str) -> str:
    """The recorded library versions as words; text that is no JSON object stays as it is."""
    try:
        known = json.loads(text)
    except ValueError:
        known = None
    if not isinstance(known, dict):
        return escape.visible(text)
    return escape.visible(", ".join(f"{name} {version}" for name, version in sorted(known.items())))
