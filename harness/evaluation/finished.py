"""The finished cells of a command, and how a measurement of their completions is added to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.evaluation.completion_tables import Cell, JudgePrompt
from harness.judges import JudgeError
from harness.options.judges import JudgeSettings
from harness.options.run import Options
from harness.progress import Progress
from results.cells import store
from suites import SuiteError


class Addition(NamedTuple):
    """What a measurement adds to a cell: columns of its row, and files by name."""

    columns: Mapping[str, Any]
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Finished:
    """The folders of a command's finished cells, its prompts by row id, and how judges are asked."""

    folders: Sequence[Path]
    options: Options
    prompts: Mapping[str, JudgePrompt]
    settings: JudgeSettings
    progress: Progress


def add_to_each(
    cells: Sequence[Cell],
    measure: Callable[[Cell, Callable[[int], None]], Mapping[str, Any]],
    progress: Progress,
    *,
    title: Callable[[Cell], str],
    who: str = "",
) -> list[str]:
    """Measures the completions of each cell and adds the columns to its row; a sentence for each failure.

    measure: gets the cell, and what to call with the number of completions done. title: of
    the stage. who: what stands before the reason of a failure. A cell that fails stays as it was; the others go on.
    """
    failures = []
    for cell in cells:
        try:
            with progress.stage(title(cell), len(cell.completions)) as stage:
                columns = measure(cell, stage.advance)
            with store.claim(cell.folder):
                store.add_measurement(cell.folder, columns)
        except (JudgeError, SuiteError, store.Claimed) as error:
            failures.append(f"{cell.label}: {who}{error}")
    return failures
