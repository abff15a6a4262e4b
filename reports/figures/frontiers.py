"""Draws what each loss reaches at what price: reward or win-rate against KL, accuracy against change in log-prob."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas

from reports.content import notes
from reports.figures import drawing
from reports.figures.drawing import FigureBlock, Fill, Paint
from reports.text import numbers
from reports.text.grids import Head, crossed
from reports.text.numbers import Style
from results.cells.frames import rows_of
from results.inference import frontiers, settings
from results.schema.row import KNOBS


class _Reward(NamedTuple):
    """A row column of what was gained, its name, and the style of its numbers."""

    column: str
    name: str
    style: Style


_REWARDS = (_Reward("gold_reward_gain", "known reward gained", "signed"), _Reward("win_rate", "win-rate", "share"))
_REWARD_CAPTION = (
    "A dot is a setting, averaged over its seeds; a line joins those of a loss that no other of its settings beats "
    "with less KL, from the reference on. The table reads the lines at equal KL. A frontier is the best of several "
    "noisy cells: read it with its number of settings, and as a description, not a verdict."
)
_MOST_BARS = 40
_BARS: Mapping[str, Any] = {"fmt": "o", "markersize": 3.5, "elinewidth": 0.7}


def frontier_blocks(done: pandas.DataFrame, colours: Mapping[str, str], prefix: str) -> Iterator[FigureBlock]:
    """The frontiers that the finished cells allow: of each reward against KL, and of accuracy against
    the change in chosen log-prob."""
    for reward in _REWARDS:
        has_both = {"kl", reward.column} <= set(done.columns)
        if has_both and len(points := frontiers.points(done, "kl", reward.column)):
            yield _reward_block(done, points, reward, colours, prefix)
    found = settings.means(done, ["chosen_logp_drift", "preference_accuracy"])
    found = found[found["preference_accuracy"].notna() & found["chosen_logp_drift"].notna() & found["lr"].notna()]
    if len(found) > 1:
        yield _change_block(found, colours, prefix, notes.measured_on(done, "n", "test pair"))


def _reward_block(
    done: pandas.DataFrame, points: pandas.DataFrame, reward: _Reward, colours: Mapping[str, str], prefix: str
) -> FigureBlock:
    """Reward against KL, with the gain of each loss at equal KL as a table."""
    column, unlike = reward.column, _perturbations(points)
    matched = _named(frontiers.matched(done, "kl", column), unlike)

    def text(row: Mapping[str, Any]) -> str:
        return numbers.with_error(row["value"], row["se"], reward.style)

    def head(value: float) -> Head:
        return Head(numbers.number(value, "nats"), "at KL, nats a completion", f"{reward.name} at this KL", "", True)

    title = f"{reward.name} against KL"
    made = drawing.drawn(title, _frontiers(points, reward, unlike, colours), f"{prefix}-kl-{column}", drawing.WIDE)
    caption = _REWARD_CAPTION + notes.measured_on(done, "generated_prompts", "prompt")
    grid = crossed(matched, "name", "at", head, text, first="loss") if len(matched) else None
    return FigureBlock(f"{column.replace('_', '-')}-kl", title, caption, (made,), _keys(points, colours), grid)


def _frontiers(points: pandas.DataFrame, reward: _Reward, unlike: list[str], colours: Mapping[str, str]) -> Fill:
    """Fills axes with the settings of each loss, and a line through its frontier for each of its data perturbations."""
    name = reward.column

    def fill(panel: Any, paint: Paint) -> None:
        drawing.frame(panel, paint, level=frontiers.START.get(name))
        panel.set_xlabel("KL from the reference, nats a completion")
        panel.set_ylabel(f"{reward.name} {numbers.ARROWS['up']}")
        for loss, same in points.groupby("loss", sort=False):
            label = numbers.number(loss, "text")
            colour = paint.series[colours[label]]
            panel.plot(same["kl"], same[name], ".", color=colour, markersize=4, alpha=0.45)
            for _, equal in same[same["on_frontier"]].groupby(unlike or ["loss"], dropna=False):
                best = equal.sort_values("kl")
                heights = [frontiers.START[name], *best[name]]
                panel.plot([0.0, *best["kl"]], heights, color=colour, linewidth=1.2, label=label)
                if len(points) <= _MOST_BARS:
                    errors = {"xerr": best["kl_se"], "yerr": best[f"{name}_se"]}
                    panel.errorbar(best["kl"], best[name], **errors, color=colour, **_BARS)

    return fill


def _change_block(found: pandas.DataFrame, colours: Mapping[str, str], prefix: str, measured: str) -> FigureBlock:
    """Accuracy against what happened to the chosen completions: a dot a setting."""

    def fill(panel: Any, paint: Paint) -> None:
        drawing.frame(panel, paint, level=0.5)
        panel.axvline(0, color=paint.ink, alpha=0.35, linewidth=0.6)
        panel.set_xlabel(f"change in chosen log-prob, nats a completion {numbers.ARROWS['up']}")
        panel.set_ylabel(f"preference accuracy {numbers.ARROWS['up']}")
        for loss, same in found.groupby("loss", sort=False):
            bars = {"xerr": same["chosen_logp_drift_se"], "yerr": same["preference_accuracy_se"]}
            panel.errorbar(
                same["chosen_logp_drift"],
                same["preference_accuracy"],
                **bars if len(found) <= _MOST_BARS else {},
                **_BARS,
                color=paint.series[colours[numbers.number(loss, "text")]],
                alpha=1.0 if len(found) <= _MOST_BARS else 0.6,
                label=numbers.number(loss, "text"),
            )

    title = "accuracy against change in chosen log-prob"
    caption = (
        "A dot is a setting, averaged over its seeds; bars are one standard error over the test pairs. Left of the "
        f"upright line the chosen completions became less likely, whatever the accuracy.{measured}"
    )
    made = drawing.drawn(title, fill, f"{prefix}-drift", drawing.WIDE)
    return FigureBlock("accuracy-drift", title, caption, (made,), _keys(found, colours))


def _keys(points: pandas.DataFrame, colours: Mapping[str, str]) -> tuple[tuple[str, str, int], ...]:
    """The losses with their colours, as a legend."""
    named = dict.fromkeys(numbers.number(loss, "text") for loss in points["loss"])
    return tuple((loss, colours[loss], 0) for loss in named)


def _perturbations(points: pandas.DataFrame) -> list[str]:
    """The axes of the training rows that the points do not share."""
    return [name for name in KNOBS if points[name].nunique(dropna=False) > 1]


def _named(matched: pandas.DataFrame, unlike: list[str]) -> pandas.DataFrame:
    """The rows with their loss and unlike data perturbations named, as `crossed` needs them."""
    names = []
    for row in rows_of(matched):
        perturbations = [f"{name.replace('_', ' ')} {numbers.number(row[name], 'ratio')}" for name in unlike]
        counted = numbers.counted(row["settings"], "setting")
        names.append(f"{', '.join([numbers.number(row['loss'], 'text'), *perturbations])} ({counted})")
    return matched.assign(name=names, control=False)
