"""Draws training curves: for each loss a row of small panels, a line a cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import pandas
from matplotlib.ticker import MaxNLocator

from reports.figures import drawing
from reports.figures.drawing import DASHES, Drawing, Fill, Paint
from reports.text import numbers
from results.cells.frames import rows_of
from results.schema.row import TERM_PREFIX

CURVES_A_LOSS = 8
"""Most cells of one loss that are drawn; more are sampled evenly over the table's order."""

LOSSES_DRAWN = 24
"""Most losses whose curves are drawn on one page."""

SMOOTHED_SHARE = 10
"""Curves are centred moving means over a window of this fraction (one in ...) of the logged steps."""


@dataclass(frozen=True)
class Panel:
    """What one small drawing shows: columns of the curve table, each with the name of its line style."""

    title: str
    columns: tuple[tuple[str, str], ...]
    limits: tuple[float, float] | None = None
    level: float | None = None


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
_NAMING = PANELS[1]
"""The panel whose lines name the cells in the legend of a file."""


def loss_curves(
    rows: pandas.DataFrame, curves: Mapping[str, pandas.DataFrame], colours: Mapping[str, str], prefix: str, most: int
) -> list[LossCurves]:
    """The panels of at most `most` losses, in the order of the rows; losses without a curve are left out.

    `curves` maps cell ids to curve tables, `colours` displayed losses to their colour keys. `prefix` keeps element ids
    apart between drawings on one page.
    """
    drawable = rows[rows["cell"].isin(curves.keys())]
    groups = list(drawable.groupby("loss", sort=False))[:most]
    return [
        _one_loss(str(loss), same, curves, colours[numbers.number(loss, "text")], f"{prefix}l{place}")
        for place, (loss, same) in enumerate(groups)
    ]


def _one_loss(
    loss: str, rows: pandas.DataFrame, curves: Mapping[str, pandas.DataFrame], colour: str, prefix: str
) -> LossCurves:
    chosen = rows_of(rows.iloc[sampled(len(rows), CURVES_A_LOSS)])
    tables = [curves[row["cell"]] for row in chosen]
    window = max(1, round(max(len(table) for table in tables) / SMOOTHED_SHARE))
    opacities = tuple(round(float(value), 2) for value in numpy.linspace(1, 0.35, len(chosen)))
    several = rows["seed"].nunique() > 1
    labels = [numbers.settings(row, seed=several) for row in chosen]
    drawings = tuple(
        drawing.drawn(
            panel.title,
            _fill(panel, tables, opacities, window, colour, labels if panel is _NAMING else ()),
            f"{prefix}p{place}",
            keys=tuple(key for _, key in panel.columns) if len(panel.columns) > 1 else (),
        )
        for place, panel in enumerate((*PANELS, *_term_panel(tables)))
        if any(name in table and table[name].notna().any() for table in tables for name, _ in panel.columns)
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
        (Panel("terms of the loss", tuple((name, name.removeprefix(TERM_PREFIX)) for name in parts)),) if parts else ()
    )


def sampled(count: int, most: int) -> list[int]:
    """Positions of at most `most` of `count` entries, spread evenly and with both ends."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def _fill(
    panel: Panel,
    tables: Sequence[pandas.DataFrame],
    opacities: Sequence[float],
    window: int,
    colour: str,
    labels: Sequence[str],
) -> Fill:
    """Fills one panel with the lines of some cells; `labels` name the cells in a legend, empty for those of styles."""

    def fill(axes: Any, paint: Paint) -> None:
        drawing.frame(axes, paint, limits=panel.limits, level=panel.level)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for place, (table, opacity) in enumerate(zip(tables, opacities, strict=True)):
            keys: Sequence[str | None] = [labels[place] or None] if labels else [None] * len(panel.columns)
            if not place and len(panel.columns) > 1:
                keys = [key for _, key in panel.columns]
            _lines(axes, panel, table, paint.series[colour], opacity, window, keys, raw=len(tables) == 1)

    return fill


def _lines(
    axes: Any,
    panel: Panel,
    table: pandas.DataFrame,
    colour: str,
    opacity: float,
    window: int,
    keys: Sequence[str | None],
    *,
    raw: bool,
) -> None:
    """One cell's smoothed lines; the logged values faintly behind them where only one cell is drawn."""
    steps = table["step"].to_numpy(dtype=float, na_value=numpy.nan)
    for place, ((name, _), key) in enumerate(zip(panel.columns, keys, strict=True)):
        if name not in table.columns:
            continue
        values = table[name].astype("float64").replace([numpy.inf, -numpy.inf], numpy.nan)
        if raw and window > 1:
            axes.plot(steps, values, color=colour, alpha=0.28, linewidth=0.6)
        smooth = values.rolling(window, center=True, min_periods=1).mean().where(values.notna())
        dashes = DASHES[place % len(DASHES)]
        axes.plot(steps, smooth, color=colour, alpha=opacity, linewidth=1.5, linestyle=dashes, label=key)
