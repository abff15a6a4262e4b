"""Draws a figure for two places: inline SVG in the page's own colours, and files with colours and legends of their own.

A drawing is a function that fills axes with a given paint. On the page, ink is the text's colour and a loss takes the
CSS variable of its colour key, so that one drawing is readable on light and dark pages; the names of lines stand
beside it in HTML. A file carries its legend. Equal input gives equal bytes.

A loss keeps one colour everywhere; contrast of text on its ground is at least 4.5 (WCAG 2.2 AA), of a loss's colour on
a card at least 3 (a test).
"""

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.text import numbers
from reports.text.grids import Grid

CONTROL = "control"
COLOURS = 8
KEYS: tuple[str, ...] = (*map(str, range(COLOURS)), CONTROL)
"""Colour keys: the place of a loss among the losses, round and round, or `control`."""

LIGHT: Mapping[str, str] = {
    "page": "#fbfbf9",
    "card": "#ffffff",
    "ink": "#1c2024",
    "quiet": "#5c656e",
    "rule": "#dcdfe2",
    "tint": "#f1f2f0",
    "warn": "#8a4b00",
    "warn-tint": "#fdf3e1",
    "good": "#0b5c3b",
    "good-tint": "#e6f4ec",
    "c0": "#0a68b4",
    "c1": "#c4500a",
    "c2": "#00805a",
    "c3": "#a8437f",
    "c4": "#8a6400",
    "c5": "#5a4fcf",
    "c6": "#1c86a8",
    "c7": "#a83232",
    "ccontrol": "#70787f",
}
DARK: Mapping[str, str] = {
    "page": "#14171a",
    "card": "#1a1e22",
    "ink": "#e6e8ea",
    "quiet": "#a0a8b0",
    "rule": "#343a40",
    "tint": "#22272c",
    "warn": "#f0c070",
    "warn-tint": "#2e2618",
    "good": "#7fd8ab",
    "good-tint": "#17291f",
    "c0": "#62b0f2",
    "c1": "#ff9152",
    "c2": "#3ecb9c",
    "c3": "#e592c4",
    "c4": "#e0bd4a",
    "c5": "#aaa0ff",
    "c6": "#7fd3ee",
    "c7": "#ff8f8f",
    "ccontrol": "#98a1a9",
}

DASHES = ("solid", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
WIDE = (5.2, 2.9)
SMALL = (2.9, 1.7)
_PNG_DPI = 200


@dataclass(frozen=True)
class Paint:
    """The colours that a drawing is made with: of text and axes, and of each loss by its colour key."""

    ink: str
    series: Mapping[str, str]


PAGE = Paint("#010203", {key: "#0400" + str(place).zfill(2) for place, key in enumerate(KEYS)})
"""Stand-ins that no palette has; `_inline` replaces them with the page's variables."""

FILE = Paint(LIGHT["ink"], {key: LIGHT[f"c{key}"] for key in KEYS})

Fill = Callable[[Any, Paint], None]


@dataclass(frozen=True)
class Drawing:
    """One figure: its title, the names of its line styles, inline SVG, and what draws it again for a file."""

    title: str
    keys: tuple[str, ...]
    svg: str
    fill: Fill = field(compare=False, repr=False)
    size: tuple[float, float] = SMALL


@dataclass(frozen=True)
class FigureBlock:
    """One or several drawings under a title.

    name: what a file of it is called, without its ending. keys: (name, colour key, dashes) of each line. `small`
    drawings stand side by side.
    """

    name: str
    title: str
    caption: str
    drawings: tuple[Drawing, ...]
    keys: tuple[tuple[str, str, int], ...] = ()
    grid: Grid | None = None
    small: bool = False


def css(colours: Mapping[str, str]) -> str:
    """The colours as declarations of CSS variables."""
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


def drawn(
    title: str, fill: Fill, prefix: str, size: tuple[float, float] = SMALL, keys: tuple[str, ...] = ()
) -> Drawing:
    """The drawing of `fill`, with inline SVG whose ids begin with `prefix`; `size` in inches."""
    text = _saved([(title, fill)], PAGE, size, "svg", alone=False).decode()
    return Drawing(title, keys, _inline(text, prefix, title), fill, size)


def file_of(drawings: Sequence[Drawing], title: str, form: str) -> bytes:
    """Some drawings side by side as the content of a file, "svg" or "png", with a title and a legend."""
    width, height = drawings[0].size
    fills = [(drawing.title, drawing.fill) for drawing in drawings]
    size = (width * len(drawings), height + 0.7)
    return _saved(fills, FILE, size, form, alone=True, title=title)


def _saved(
    fills: Sequence[tuple[str, Fill]],
    paint: Paint,
    size: tuple[float, float],
    form: str,
    *,
    alone: bool,
    title: str = "",
) -> bytes:
    """The bytes of a figure; `alone` where no page stands around it."""
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "preference-harness",
        "text.parse_math": False,
        "font.size": 8,
        "font.family": "DejaVu Sans",
        "text.color": paint.ink,
        "axes.edgecolor": paint.ink,
        "axes.labelcolor": paint.ink,
        "xtick.color": paint.ink,
        "ytick.color": paint.ink,
        "axes.linewidth": 0.6,
        "path.simplify": True,
    }
    with rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (name, fill) in zip(figure.subplots(1, len(fills), squeeze=False)[0], fills, strict=True):
            fill(axes, paint)
            if alone and len(fills) > 1:
                axes.set_title(name, fontsize=8)
        if alone:
            _complete(figure, title)
        out = io.BytesIO()
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        figure.savefig(out, format=form, transparent=not alone, dpi=_PNG_DPI, metadata=metadata)
    return out.getvalue()


def _complete(figure: Figure, title: str) -> None:
    """What the page has around a drawing: its title, and a legend of each label once."""
    figure.suptitle(title, fontsize=9)
    found: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=7)


def frame(axes: Any, paint: Paint, *, limits: tuple[float, float] | None = None, level: float | None = None) -> None:
    """Axes without a box, few ticks, and a thin line at the level that means "nothing learned"."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: numbers.tick(value)))
    axes.tick_params(length=2.5, width=0.6)
    if limits:
        axes.set_ylim(*limits)
    if level is not None:
        axes.axhline(level, color=paint.ink, alpha=0.35, linewidth=0.6)


def dashes_of(losses: Sequence[str]) -> list[int]:
    """Which dashes each line takes: the first of a loss is solid, its others take the next ones in turn."""
    return [losses[:place].count(loss) % len(DASHES) for place, loss in enumerate(losses)]


def _inline(text: str, prefix: str, title: str) -> str:
    """A drawing as inline SVG: no header, no outside address, scalable, own ids, the page's colours."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'<style type="text/css">.*?</style>\s*', "", body, flags=re.DOTALL)
    body = re.sub(r'\s(?:xmlns(?::xlink)?|version)="[^"]*"', "", body)
    body = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", body, count=1)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{prefix}-", body)
    body = body.replace(PAGE.ink, "currentColor")
    for key, colour in PAGE.series.items():
        body = body.replace(colour, f"var(--c{key})")
    return body.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1).strip()
