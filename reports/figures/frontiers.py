"""Draws what each loss reaches at what price: reward or win-rate against KL, and accuracy against the chosen drift."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas

from reports.content import notes
from reports.figures import drawing
from reports.figures.drawing import FigureBlock, Paint
from reports.text import numbers
from reports.text.grids import Head, crossed
from reports.text.numbers import Style
from results.cells.frames import rows_of
from results.inference import frontiers, settings
from results.schema.row import KNOBS

_REWARDS: tuple[tuple[str, str, Style], ...] = (
    ("gold_reward_gain", "gold reward gained", "drift"),
    ("win_rate", "win-rate", "share"),
)
_MOST_BARS = 40


def frontier_blocks(done: pandas.DataFrame, colours: Mapping[str, str], prefix: str) -> Iterator[FigureBlock]:
    """The frontiers that the finished cells allow: of each reward against KL, and of accuracy against drift."""
    for name, words, style in _REWARDS:
        if "kl" in done.columns and name in done.columns and len(points := frontiers.points(done, "kl", name)):
            yield _reward_block(done, points, name, words, style, colours, prefix)
    found = settings.means(done, ["chosen_logp_drift", "preference_accuracy"])
    found = found[found["preference_accuracy"].notna() & found["chosen_logp_drift"].notna() & found["lr"].notna()]
    if len(found) > 1:
        yield _drift_block(found, colours, prefix, notes.measured_on(done, "n", "test pair"))


def _reward_block(
    done: pandas.DataFrame,
    points: pandas.DataFrame,
    name: str,
    words: str,
    style: Style,
    colours: Mapping[str, str],
    prefix: str,
) -> FigureBlock:
    """Reward against KL, with the gain of each loss at equal KL as a table."""
    unlike = _knobs(points)
    matched = _named(frontiers.matched(done, "kl", name), unlike)

    def fill(panel: Any, paint: Paint) -> None:
        drawing.frame(panel, paint, level=frontiers.START.get(name))
        panel.set_xlabel("KL from the reference, nats an answer")
        panel.set_ylabel(f"{words} {numbers.ARROWS['up']}")
        for loss, same in points.groupby("loss", sort=False):
            colour = paint.series[colours[numbers.number(loss, "text")]]
            panel.plot(same["kl"], same[name], ".", color=colour, markersize=4, alpha=0.45)
            for _, equal in same[same["on_frontier"]].groupby(unlike or ["loss"], dropna=False):
                best = equal.sort_values("kl")
                panel.plot(
                    [0.0, *best["kl"]],
                    [frontiers.START[name], *best[name]],
                    color=colour,
                    linewidth=1.2,
                    label=numbers.number(loss, "text"),
                )
                if len(points) <= _MOST_BARS:
                    panel.errorbar(
                        best["kl"],
                        best[name],
                        yerr=best[f"{name}_se"],
                        xerr=best["kl_se"],
                        fmt="o",
                        color=colour,
                        markersize=3.5,
                        elinewidth=0.7,
                    )

    def text(row: Mapping[str, Any]) -> str:
        return numbers.with_error(row["value"], row["se"], style)

    def head(value: float) -> Head:
        return Head(numbers.number(value, "nats"), "at KL, nats an answer", f"{words} at this KL", "", True)

    title = f"{words} against KL"
    made = drawing.drawn(title, fill, f"{prefix}-kl-{name}", drawing.WIDE)
    caption = (
        "A dot is a setting, averaged over its seeds; a line joins those of a loss that no other of its settings beats "
        "with less KL, from the reference on. The table reads the lines at equal KL. A frontier is the best of several "
        "noisy cells: read it with its number of settings, and as a description, not a verdict."
        + notes.measured_on(done, "generated_prompts", "prompt")
    )
    grid = crossed(matched, "name", "at", head, text, first="loss") if len(matched) else None
    return FigureBlock(f"{name.replace('_', '-')}-kl", title, caption, (made,), _keys(points, colours), grid)


def _drift_block(found: pandas.DataFrame, colours: Mapping[str, str], prefix: str, measured: str) -> FigureBlock:
    """Accuracy against what happened to the chosen answers: a dot a setting."""

    def fill(panel: Any, paint: Paint) -> None:
        drawing.frame(panel, paint, level=0.5)
        panel.axvline(0, color=paint.ink, alpha=0.35, linewidth=0.6)
        panel.set_xlabel(f"chosen drift, nats an answer {numbers.ARROWS['up']}")
        panel.set_ylabel(f"preference accuracy {numbers.ARROWS['up']}")
        for loss, same in found.groupby("loss", sort=False):
            bars = {"xerr": same["chosen_logp_drift_se"], "yerr": same["preference_accuracy_se"]}
            panel.errorbar(
                same["chosen_logp_drift"],
                same["preference_accuracy"],
                **bars if len(found) <= _MOST_BARS else {},
                fmt="o",
                markersize=3.5,
                elinewidth=0.7,
                color=paint.series[colours[numbers.number(loss, "text")]],
                alpha=1.0 if len(found) <= _MOST_BARS else 0.6,
                label=numbers.number(loss, "text"),
            )

    title = "accuracy against chosen drift"
    caption = (
        "A dot is a setting, averaged over its seeds; bars are one standard error over the test pairs. Left of the "
        f"upright line the chosen answers became less likely while pairs were told apart.{measured}"
    )
    made = drawing.drawn(title, fill, f"{prefix}-drift", drawing.WIDE)
    return FigureBlock("accuracy-drift", title, caption, (made,), _keys(found, colours))


def _keys(points: pandas.DataFrame, colours: Mapping[str, str]) -> tuple[tuple[str, str, int], ...]:
    """The losses with their colours, as a legend."""
    named = dict.fromkeys(numbers.number(loss, "text") for loss in points["loss"])
    return tuple((loss, colours[loss], 0) for loss in named)


def _knobs(points: pandas.DataFrame) -> list[str]:
    """The axes of the training rows that the points do not share."""
    return [name for name in KNOBS if points[name].nunique(dropna=False) > 1]


def _named(matched: pandas.DataFrame, unlike: list[str]) -> pandas.DataFrame:
    """The rows with their loss and unlike knobs in words, as `crossed` needs them."""
    names = []
    for row in rows_of(matched):
        knobs = [f"{name.replace('_', ' ')} {numbers.number(row[name], 'ratio')}" for name in unlike]
        counted = numbers.counted(row["settings"], "setting")
        names.append(f"{', '.join([numbers.number(row['loss'], 'text'), *knobs])} ({counted})")
    return matched.assign(name=names, control=False)
