"""What a report shows with a figure: drawings with the words around them, and the same numbers as a table."""

from dataclasses import dataclass

from reports.figures.drawing import Drawing
from reports.text.grids import Grid


@dataclass(frozen=True)
class FigureBlock:
    """One or several drawings under a title.

    name: what a file of it is called, without its ending. keys: (words, colour key, dashes) of each line. `small`
    drawings stand side by side.
    """

    name: str
    title: str
    caption: str
    drawings: tuple[Drawing, ...]
    keys: tuple[tuple[str, str, int], ...] = ()
    grid: Grid | None = None
    small: bool = False
