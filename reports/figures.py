"""Draws training curves as small inline SVG panels, and the strip of a cell's accuracies in its table row.

The drawings carry no colour of their own: ink is the page's text colour and a series takes the CSS variable
`--series` of the element around it, so that one drawing is readable on light and dark pages and a loss keeps
its colour everywhere. Equal input gives equal bytes.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import pandas
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports import render
from results.columns import TERM_PREFIX

CURVES_A_LOSS = 8
"""Most cells of one loss that are drawn; more are sampled evenly over the table's order."""

LOSSES_DRAWN = 24
"""Most losses whose curves are drawn on one page."""

SMOOTHED_SHARE = 10
"""Curves are centred moving means over a window of this fraction (one in ...) of the logged steps."""

_INK, _SERIES = "#010203", "#030201"
_SIZE_INCHES = (2.9, 1.7)
DASHES = ("solid", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_STRIP_WIDTH, _STRIP_HEIGHT = 100.0, 18.0


@dataclass(frozen=True)
class Panel:
    """What one small drawing shows: columns of the curve table, each with the word for its line style."""

    title: str
    columns: tuple[tuple[str, str], ...]
    limits: tuple[float, float] | None = None
    level: float | None = None


@dataclass(frozen=True)
class Drawing:
    """One drawn panel: its title, the words for its line styles, and inline SVG."""

    title: str
    keys: tuple[str, ...]
    svg: str


@dataclass(frozen=True)
class LossCurves:
    """The curves of one loss: which cells they show, faintest last, and how many cells are not drawn."""

    loss: str
    rows: tuple[Mapping[str, Any], ...]
    opacities: tuple[float, ...]
    left_out: int
    window: int
    drawings: tuple[Drawing, ...]


PANELS = (
    Panel("reward, nats", (("reward_chosen", "chosen"), ("reward_rejected", "rejected"))),
    Panel("margin, nats", (("margin", "margin"),), level=0.0),
    Panel("batch accuracy", (("accuracy", "accuracy"),), limits=(0.0, 1.0), level=0.5),
    Panel("chosen log-prob, nats", (("chosen_logp", "chosen log-prob"),)),
)


def loss_curves(
    rows: pandas.DataFrame, curves: Mapping[str, pandas.DataFrame], prefix: str, most: int
) -> list[LossCurves]:
    """The panels of at most `most` losses, in the order of the rows; losses without a curve are left out.

    `curves` maps cell ids to curve tables. `prefix` keeps element ids apart between drawings on one page.
    """
    drawable = rows[rows["cell"].isin(curves.keys())]
    groups = list(drawable.groupby("loss", sort=False))[:most]
    return [
        _one_loss(str(loss), same, curves, f"{prefix}l{place}") for place, (loss, same) in enumerate(groups)
    ]


def _one_loss(
    loss: str, rows: pandas.DataFrame, curves: Mapping[str, pandas.DataFrame], prefix: str
) -> LossCurves:
    chosen = rows.iloc[sampled(len(rows), CURVES_A_LOSS)].to_dict("records")
    tables = [curves[row["cell"]] for row in chosen]
    window = max(1, round(max(len(table) for table in tables) / SMOOTHED_SHARE))
    opacities = tuple(round(float(value), 2) for value in numpy.linspace(1, 0.35, len(chosen)))
    drawings = tuple(
        _drawing(panel, tables, opacities, window, f"{prefix}p{place}")
        for place, panel in enumerate((*PANELS, *_term_panel(tables)))
    )
    return LossCurves(loss, tuple(chosen), opacities, len(rows) - len(chosen), window, drawings)


def _term_panel(tables: Sequence[pandas.DataFrame]) -> tuple[Panel, ...]:
    """A panel of the loss's parts, where it is a sum of named ones."""
    parts = sorted(
        {
            name
            for table in tables
            for name in table.columns
            if name.startswith(TERM_PREFIX) and table[name].notna().any()
        }
    )
    return (
        (Panel("terms of the loss", tuple((name, name.removeprefix(TERM_PREFIX)) for name in parts)),)
        if parts
        else ()
    )


def sampled(count: int, most: int) -> list[int]:
    """Positions of at most `most` of `count` entries, spread evenly and with both ends."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def _drawing(
    panel: Panel, tables: Sequence[pandas.DataFrame], opacities: Sequence[float], window: int, prefix: str
) -> Drawing:
    def fill(axes: Any) -> None:
        frame(axes, panel)
        for table, opacity in zip(tables, opacities, strict=True):
            _lines(axes, panel, table, opacity, window, raw=len(tables) == 1)

    keys = tuple(word for _, word in panel.columns) if len(panel.columns) > 1 else ()
    return Drawing(panel.title, keys, inline_svg(svg_text(fill, _SIZE_INCHES), prefix, panel.title))


def svg_text(fill: Callable[[Any], None], size: tuple[float, float]) -> str:
    """The text of an SVG file whose axes `fill` has drawn."""
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "preference-harness",
        "text.parse_math": False,
        "font.size": 8,
        "font.family": "DejaVu Sans",
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.linewidth": 0.6,
        "path.simplify": True,
    }
    with rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        fill(figure.add_subplot())
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return text.getvalue()


def frame(axes: Any, panel: Panel) -> None:
    """Axes without a box, few ticks, and a thin line at the level that means "nothing learned"."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: render.tick(value)))
    axes.tick_params(length=2.5, width=0.6)
    if panel.limits:
        axes.set_ylim(*panel.limits)
    if panel.level is not None:
        axes.axhline(panel.level, color=_INK, alpha=0.35, linewidth=0.6)


def _lines(
    axes: Any, panel: Panel, table: pandas.DataFrame, opacity: float, window: int, *, raw: bool
) -> None:
    """One cell's smoothed lines; the logged values faintly behind them where only one cell is drawn."""
    steps = table["step"].to_numpy(dtype=float, na_value=numpy.nan)
    for (name, _), dashes in zip(panel.columns, _cycle(len(panel.columns)), strict=True):
        if name not in table.columns:
            continue
        values = table[name].astype("float64").replace([numpy.inf, -numpy.inf], numpy.nan)
        if raw and window > 1:
            axes.plot(steps, values, color=_SERIES, alpha=0.28, linewidth=0.6)
        smooth = values.rolling(window, center=True, min_periods=1).mean().where(values.notna())
        axes.plot(steps, smooth, color=_SERIES, alpha=opacity, linewidth=1.5, linestyle=dashes)


def _cycle(count: int) -> list[Any]:
    return [DASHES[place % len(DASHES)] for place in range(count)]


def inline_svg(text: str, prefix: str, title: str) -> str:
    """A drawing as inline SVG: no header, no outside address, scalable, own ids, the page's colours."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'<style type="text/css">.*?</style>\s*', "", body, flags=re.DOTALL)
    body = re.sub(r'\s(?:xmlns(?::xlink)?|version)="[^"]*"', "", body)
    body = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", body, count=1)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{prefix}-", body)
    body = body.replace(_INK, "currentColor").replace(_SERIES, "var(--series)")
    return body.replace("<svg", f'<svg role="img" aria-label="{title}"', 1).strip()


def strip_range(rows: pandas.DataFrame) -> tuple[float, float]:
    """The accuracies that the strips of a table span, in whole tenths, one half included."""
    names = ("preference_accuracy", "accuracy_chosen_longer", "accuracy_chosen_shorter")
    shown = [rows[name].dropna() for name in names if name in rows.columns]
    values = [0.5, *(float(value) for column in shown for value in column)]
    return max(0.0, numpy.floor(min(values) * 10 - 0.3) / 10), min(
        1.0, numpy.ceil(max(values) * 10 + 0.3) / 10
    )


def strip(row: Mapping[str, Any], span: tuple[float, float]) -> str:
    """A cell's accuracy with its standard error, and the accuracies by answer length, on one line.

    Empty where the cell has no accuracy.
    """
    accuracy = row.get("preference_accuracy")
    if render.is_missing(accuracy):
        return ""
    parts = [_rule(0.5, span, "half")]
    if not render.is_missing(row.get("longer_wins_baseline")):
        parts.append(_rule(row["longer_wins_baseline"], span, "baseline"))
    parts += [_mark(row.get(f"accuracy_chosen_{side}"), span, side) for side in ("shorter", "longer")]
    error = row.get("preference_accuracy_se")
    if not render.is_missing(error):
        left, right = (render.coordinate(_x(accuracy + sign * error, span)) for sign in (-1, 1))
        middle = render.coordinate(_STRIP_HEIGHT / 2)
        parts.append(f'<path class="error" d="M{left} {middle}H{right}"/>')
    centre = f'cx="{render.coordinate(_x(accuracy, span))}" cy="{render.coordinate(_STRIP_HEIGHT / 2)}"'
    parts.append(f'<circle class="dot" {centre} r="3.5"/>')
    box = f"0 0 {render.coordinate(_STRIP_WIDTH)} {render.coordinate(_STRIP_HEIGHT)}"
    return f'<svg class="strip" viewBox="{box}" aria-hidden="true">{"".join(parts)}</svg>'


def _x(value: float, span: tuple[float, float]) -> float:
    """The place of an accuracy in the strip, kept inside it."""
    share = (value - span[0]) / (span[1] - span[0])
    return min(max(share, 0.0), 1.0) * (_STRIP_WIDTH - 12) + 6


def _rule(value: float, span: tuple[float, float], kind: str) -> str:
    return f'<path class="{kind}" d="M{render.coordinate(_x(value, span))} 1V17"/>'


def _mark(value: Any, span: tuple[float, float], side: str) -> str:
    """An open triangle: pointing right for chosen-longer pairs, left for chosen-shorter ones."""
    if render.is_missing(value):
        return ""
    place, reach = _x(value, span), 5.0 if side == "longer" else -5.0
    base, tip = render.coordinate(place - reach / 2), render.coordinate(place + reach / 2)
    return f'<path class="mark" d="M{base} 5.5L{tip} 9L{base} 12.5Z"/>'
