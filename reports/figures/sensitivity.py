"""Draws how much a loss depends on its settings: accuracy over beta and learning rate, one small map a loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas

from reports.figures import drawing
from reports.figures.drawing import Drawing, FigureBlock, Fill, Paint
from reports.text import numbers
from reports.text.grids import Grid, plain
from results.cells.frames import rows_of
from results.inference import exponents, settings
from results.schema.row import KNOBS

_FEWEST = 3
_FAINT, _FULL = 0.05, 0.42  # opacities between which dark ink stays readable on light pages, and light on dark
_MOST_MAPS = 24


def sensitivity_block(done: pandas.DataFrame, colours: Mapping[str, str], prefix: str) -> FigureBlock | None:
    """A map for every loss with three settings or more; None where there is none.

    Settings are chosen by the validation pairs, so these are shown where every cell has them.
    """
    metric = "validation_preference_accuracy"
    trained = done[~done["control"] & done["lr"].notna()]
    if metric not in done.columns or trained[metric].isna().any():
        metric = "preference_accuracy"
    found = _of_most_common_perturbations(settings.surface(done, metric))
    maps = [(str(loss), same) for loss, same in found.groupby("loss", sort=False) if len(same) >= _FEWEST][:_MOST_MAPS]
    if not maps:
        return None
    values = pandas.concat([same["value"] for _, same in maps])
    span = (float(values.min()), float(values.max()))
    made = tuple(
        _map(loss, same, span, colours[numbers.number(loss, "text")], f"{prefix}-s{place}")
        for place, (loss, same) in enumerate(maps)
    )
    low, high = (numbers.number(value, "share") for value in span)
    split = "validation" if metric.startswith("validation") else "test"
    caption = (
        f"Preference accuracy on the {split} pairs, from {low} (palest) to {high} (strongest), one scale for all "
        "losses; means over seeds and further hyper-parameters. Settings that make no grid are dots, larger where they "
        "are better. A loss whose map is pale but for one field needs tuning; one that is even does not."
    )
    fitted, note = _exponents(done)
    title = "sensitivity to beta and learning rate"
    return FigureBlock("sensitivity", title, caption + note, made, grid=fitted, small=True)


def _exponents(done: pandas.DataFrame) -> tuple[Grid | None, str]:
    """How the margin grows with lr and beta, a line a loss, and how to read it; nothing where no loss has the fit."""
    found = exponents.exponents(done[~done["control"]])
    if found.empty:
        return None, ""
    heads = (
        ("loss", False),
        ("cells", True),
        ("p of lr", True),
        ("q of beta", True),
        ("p + q", True),
        ("halving beta is like doubling lr", False),
    )
    rows = []
    for row in rows_of(found):
        loss = numbers.number(row["loss"], "text")
        fitted = [
            f"{numbers.number(row[f'{name}_exponent'], 'signed')} ({numbers.number(row[f'{name}_low'], 'signed')} to "
            f"{numbers.number(row[f'{name}_high'], 'signed')})"
            for name in ("lr", "beta", "sum")
        ]
        rows.append((loss, (loss, numbers.number(row["cells"], "count"), *fitted, row["verdict"])))
    return plain(heads, rows), " The table fits margin = const lr^p beta^q over the cells, with 95 % intervals."


def _of_most_common_perturbations(found: pandas.DataFrame) -> pandas.DataFrame:
    """The rows whose training rows are like those of most others: maps of unlike rows are not compared."""
    perturbations = [name for name in KNOBS if name in found.columns]
    groups = [same for _, same in found.groupby(perturbations, sort=False, dropna=False)]
    return max(groups, key=len) if groups else found


def _map(loss: str, found: pandas.DataFrame, span: tuple[float, float], colour: str, prefix: str) -> Drawing:
    """A field for each pair of beta and lr with its value; dots on log scales where the pairs make no grid."""
    columns, rows = len(_values(found, "beta")), len(_values(found, "lr"))
    shades = [_shade(value, span) for value in found["value"]]
    size = (max(drawing.SMALL[0], 0.5 * columns + 0.8), max(drawing.SMALL[1], 0.32 * rows + 0.7))
    fits = size[0] <= 2 * drawing.SMALL[0] and size[1] <= 2 * drawing.SMALL[1]
    is_grid = fits and len(found) >= 0.5 * columns * rows
    fill, size = (_fields, size) if is_grid else (_dots, drawing.SMALL)
    return drawing.drawn(numbers.number(loss, "text"), fill(found, shades, colour), prefix, size)


def _values(found: pandas.DataFrame, name: str) -> list[Any]:
    """The values of a column in growing order; None alone where no row has one."""
    return sorted(set(found[name].dropna())) or [None]


def _shade(value: float, span: tuple[float, float]) -> float:
    """The opacity of a value, from the lowest of all maps to the highest."""
    return _FAINT + (_FULL - _FAINT) * (value - span[0]) / max(span[1] - span[0], 1e-9)


def _fields(found: pandas.DataFrame, shades: Sequence[float], colour: str) -> Fill:
    """Fills a map of fields: a column for each beta, a row for each lr, as strong as the value in it is high."""
    betas, lrs = _values(found, "beta"), _values(found, "lr")

    def fill(panel: Any, paint: Paint) -> None:
        drawing.frame(panel, paint)
        panel.set_xlim(-0.5, len(betas) - 0.5)
        panel.set_ylim(-0.5, len(lrs) - 0.5)
        for row, shade in zip(rows_of(found), shades, strict=True):
            x, y = (0 if numbers.is_missing(row["beta"]) else betas.index(row["beta"])), lrs.index(row["lr"])
            inside, ink = [x - 0.48, x + 0.48], paint.series[colour]
            panel.fill_between(inside, y - 0.47, y + 0.47, color=ink, linewidth=0, alpha=shade)
            panel.text(x, y, numbers.number(row["value"], "share"), ha="center", va="center", fontsize=7)
        panel.set_xticks(range(len(betas)), ["–" if beta is None else numbers.tick(beta) for beta in betas])
        panel.set_yticks(range(len(lrs)), [numbers.number(lr, "lr") for lr in lrs])
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        _name_axes(panel)

    return fill


def _dots(found: pandas.DataFrame, shades: Sequence[float], colour: str) -> Fill:
    """Fills a map of dots on log scales, larger and stronger where the value is higher."""
    betas, lrs = _values(found, "beta"), _values(found, "lr")

    def fill(panel: Any, paint: Paint) -> None:
        panel.set_xscale("log")
        panel.set_yscale("log")
        drawing.frame(panel, paint)
        panel.minorticks_off()
        panel.scatter(
            found["beta"].fillna(1.0),
            found["lr"],
            s=[12 + 90 * shade for shade in shades],
            color=paint.series[colour],
            linewidth=0,
            alpha=[min(1.0, shade + 0.3) for shade in shades],
        )
        panel.margins(0.15)
        ends = [value for value in (betas[0], betas[-1]) if value is not None]
        panel.set_xticks(ends, [numbers.tick(value) for value in ends])
        panel.set_yticks([lrs[0], lrs[-1]], [numbers.number(value, "lr") for value in (lrs[0], lrs[-1])])
        _name_axes(panel)

    return fill


def _name_axes(panel: Any) -> None:
    panel.set_xlabel("beta")
    panel.set_ylabel("lr")
