"""Draws accuracy against an axis of the training rows, a line a setting, all losses together.

What is drawn comes from `reports/content/axes.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas

from reports.content import axes, notes
from reports.figures import drawing
from reports.figures.drawing import DASHES, Drawing, FigureBlock, Paint, dashes_of
from reports.text import numbers
from reports.text.grids import Grid, Head, crossed
from reports.text.numbers import Field

_CAPTION = (
    "Means over seeds; bars are one standard error over the test pairs, which more seeds do not shorten because all "
    "are measured on the same pairs. Points of several lines are moved a little aside. The thin level is one half."
)


def axis_blocks(done: pandas.DataFrame, colours: Mapping[str, str], prefix: str) -> Iterator[FigureBlock]:
    """One block for each axis that varies among the finished cells."""
    for name in axes.DRAWN:
        points = axes.against(done, name)
        if points.empty:
            continue
        several = points.groupby("setting")["value"].transform("nunique") > 1
        points = points[several] if several.any() else points
        field = axes.FIELDS[name]
        made = axis_drawing(points, field.head, colours, f"{prefix}-{name}")
        losses = _losses(points)
        keys = zip(made.keys, (colours[loss] for loss in losses), dashes_of(losses), strict=True)
        caption = _CAPTION + notes.measured_on(done, "n", "test pair")
        slug = f"accuracy-{name.replace('_', '-')}"
        yield FigureBlock(slug, made.title, caption, (made,), tuple(keys), _grid(points, field))


def axis_drawing(points: pandas.DataFrame, name: str, colours: Mapping[str, str], prefix: str) -> Drawing:
    """Accuracy against an axis, a line a setting: `points` are those of `axes.against`, `name` the name of the axis.

    The bars are one standard error. `colours` maps a displayed loss to its colour key; a loss's further settings differ
    by dashes. `keys` are the settings, in order.
    """
    series = [(str(setting), same) for setting, same in points.groupby("setting", sort=False)]
    values = sorted(set(points["value"]))
    spread = values[-1] > 8 * max(values[0], 1e-9) and values[0] > 0
    losses = _losses(points)

    def fill(panel: Any, paint: Paint) -> None:
        panel.set_xscale("log" if spread else "linear")
        drawing.frame(panel, paint, level=0.5)
        panel.set_xticks(values, [numbers.tick(value) for value in values])
        panel.minorticks_off()
        panel.set_xlabel(name)
        panel.set_ylabel("preference accuracy")
        for place, (setting, same) in enumerate(series):
            panel.errorbar(
                _apart(same["value"], place, len(series), values, ratio=spread),
                same["preference_accuracy"],
                yerr=same["preference_accuracy_se"],
                color=paint.series[colours[losses[place]]],
                capsize=2,
                markersize=3.5,
                marker="o",
                linewidth=1.2,
                elinewidth=0.8,
                linestyle=DASHES[dashes_of(losses)[place]],
                label=setting,
            )

    title = f"preference accuracy against {name}"
    return drawing.drawn(title, fill, prefix, drawing.WIDE, keys=tuple(setting for setting, _ in series))


def _losses(points: pandas.DataFrame) -> list[str]:
    """The displayed loss of each setting, in order."""
    return [numbers.number(same["loss"].iloc[0], "text") for _, same in points.groupby("setting", sort=False)]


def _grid(points: pandas.DataFrame, axis: Field) -> Grid:
    """Accuracies as text: a line a setting, a column a value, "0.612 ± 0.031"."""
    column = numbers.COLUMNS["preference_accuracy"]

    def head(value: float) -> Head:
        meaning = f"{column.name}: {column.meaning}"
        return Head(numbers.number(value, axis.style), axis.head, meaning, numbers.ARROWS[column.better], True)

    def text(row: Mapping[str, Any]) -> str:
        return numbers.with_error(row["preference_accuracy"], row["preference_accuracy_se"], "share")

    return crossed(points, "setting", "value", head, text)


def _apart(values: pandas.Series, place: int, count: int, ticks: Sequence[float], *, ratio: bool) -> pandas.Series:
    """The values of one line, moved a little aside so that bars of several lines can be seen."""
    shift = (place - (count - 1) / 2) / max(count, 2) * 0.03
    return values * (ticks[-1] / ticks[0]) ** shift if ratio else values + shift * (ticks[-1] - ticks[0])
