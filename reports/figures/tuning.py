"""Draws what tuning a loss is worth: the expected best of n settings that a search tried, a line a loss."""

from collections.abc import Mapping
from typing import Any

import pandas

from reports.figures import drawing
from reports.figures.drawing import FigureBlock, Paint
from reports.text import numbers
from reports.text.grids import Grid, Head, crossed

_CAPTION = (
    "Validation accuracy expected of the best of n settings, drawn without replacement from those that the search "
    "tried on one seed. A line that rises late belongs to a loss that needs tuning; one that is high at once does not. "
)
_BAND = "The pale band holds the whole curve in 95 of 100 searches. "


def tuning_block(curves: pandas.DataFrame, colours: Mapping[str, str], prefix: str) -> FigureBlock | None:
    """The curves of `results.tuning.best_of_n` of one protocol; None where no loss has two trials or more."""
    known = curves[curves["trials"] > 1] if len(curves) else curves
    known = known[[numbers.number(loss, "text") in colours for loss in known["loss"]]] if len(known) else known
    if known.empty:
        return None
    groups = [(numbers.number(loss, "text"), same) for loss, same in known.groupby("loss", sort=False)]

    def fill(panel: Any, paint: Paint) -> None:
        drawing.frame(panel, paint)
        panel.set_xticks(sorted(set(known["n"])))
        panel.set_xlabel("settings tried, n")
        panel.set_ylabel(f"best validation accuracy {numbers.ARROWS['up']}")
        for loss, same in groups:
            colour, steps = paint.series[colours[loss]], same["n"].astype(float)
            panel.plot(steps, same["expected"], "o-", color=colour, markersize=3.5, linewidth=1.2, label=loss)
            if same["low"].notna().all() and len(groups) == 1:
                panel.fill_between(steps, same["low"], same["high"], color=colour, alpha=0.12, linewidth=0)

    title = "expected best of n settings"
    made = drawing.drawn(title, fill, f"{prefix}-best", drawing.WIDE)
    pairs = sorted({int(value) for value in known["train_pairs"]})
    trained = f"Trained on {', '.join(numbers.counted(value, 'pair') for value in pairs)}."
    caption = _CAPTION + (_BAND if len(groups) == 1 and known["low"].notna().all() else "") + trained
    keys = tuple((loss, colours[loss], 0) for loss, _ in groups)
    return FigureBlock("best-of-n", title, caption, (made,), keys, _grid(known))


def _grid(known: pandas.DataFrame) -> Grid:
    """The same as text, with the band where there is one: "0.612 (0.55 to 0.70)"."""

    def head(value: int) -> Head:
        return Head(numbers.number(value, "count"), "settings tried", "expected best of so many", "", True)

    def text(row: Mapping[str, Any]) -> str:
        ends = " to ".join(numbers.number(row[end], "share") for end in ("low", "high"))
        band = "" if numbers.is_missing(row["low"]) else f" ({ends})"
        return numbers.number(row["expected"], "share") + band

    named = known.assign(name=[numbers.number(loss, "text") for loss in known["loss"]], control=False)
    return crossed(named, "name", "n", head, text, first="loss")
