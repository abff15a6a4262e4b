"""Draws accuracy against an axis of the training rows as one inline SVG, a line a setting, all losses together.

Lines take the page's colours of their losses and its ink, as in `figures.py`. What is drawn comes from `axes.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas

from reports import render
from reports.figures import DASHES, Drawing, Panel, frame, inline_svg, svg_text

_SIZE_INCHES = (5.2, 2.8)


def axis_drawing(points: pandas.DataFrame, name: str, colours: Mapping[str, str], prefix: str) -> Drawing:
    """Accuracy against an axis, a line a setting: `points` are those of `axes.against`, `name` the axis in words.

    The bars are one standard error. `colours` maps a displayed loss to the page's colour of it; a loss's further
    settings are told apart by dashes. `keys` are the settings, in order.
    """
    series = [(setting, same) for setting, same in points.groupby("setting", sort=False)]
    values = sorted(set(points["value"]))
    spread = values[-1] > 8 * max(values[0], 1e-9) and values[0] > 0
    losses = [render.number(same["loss"].iloc[0], "text") for _, same in series]

    def fill(axes: Any) -> None:
        axes.set_xscale("log" if spread else "linear")
        frame(axes, Panel(f"accuracy against {name}", (), level=0.5))
        axes.set_xticks(values, [render.tick(value) for value in values])
        axes.minorticks_off()
        axes.set_xlabel(name)
        axes.set_ylabel("preference accuracy")
        for place, (_, same) in enumerate(series):
            axes.errorbar(
                _apart(same["value"], place, len(series), values, ratio=spread), same["preference_accuracy"],
                yerr=same["preference_accuracy_se"], color=_series_colour(place), capsize=2, markersize=3.5,
                marker="o", linewidth=1.2, elinewidth=0.8, linestyle=DASHES[dashes_of(losses)[place]],
            )  # fmt: skip

    title = f"preference accuracy against {name}"
    svg = inline_svg(svg_text(fill, _SIZE_INCHES), prefix, title)
    for place, loss in enumerate(losses):
        svg = svg.replace(_series_colour(place), f"var(--c{colours[loss]})")
    return Drawing(title, tuple(str(setting) for setting, _ in series), svg)


def dashes_of(losses: Sequence[str]) -> list[int]:
    """Which dashes each line takes: the first of a loss is solid, its others take the next ones in turn."""
    return [losses[:place].count(loss) % len(DASHES) for place, loss in enumerate(losses)]


def _series_colour(place: int) -> str:
    """A stand-in for the colour of a line, replaced in the text of the drawing."""
    return "#04" + str(place).zfill(4)


def _apart(
    values: pandas.Series, place: int, count: int, ticks: Sequence[float], *, ratio: bool
) -> pandas.Series:
    """The values of one line, moved a little aside so that bars of several lines can be seen."""
    shift = (place - (count - 1) / 2) / max(count, 2) * 0.03
    return values * (ticks[-1] / ticks[0]) ** shift if ratio else values + shift * (ticks[-1] - ticks[0])
