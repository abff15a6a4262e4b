"""What looks on while a cell trains: progress, the log, evaluations on the way, a tracker of experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.training.curve import CurveRow
from harness.training.job import Job

if TYPE_CHECKING:
    from pandas import DataFrame


class Callback:
    """A hook for each thing that happens to a cell; one that is not overridden does nothing."""

    def on_start(self, row: Mapping[str, Any]) -> None:
        """A cell begins; `row` has the columns that are known of it, its name and settings among them."""

    def on_step(self, row: CurveRow) -> None:
        """The weights were updated; `row` is the step's row of the curve."""

    def on_out_of_memory(self, job: Job) -> None:
        """Memory ran out in a step; training goes on with `job`, whose micro-batches are smaller."""

    def on_evaluation(self, table: DataFrame) -> None:
        """The held-out rows were measured; `table` has their log-probs (PAIR_COLUMNS of results/schema/row.py)."""

    def on_cell(self, row: Mapping[str, Any]) -> None:
        """The cell is finished and stored; `row` is its row."""


@dataclass(frozen=True)
class OnStep(Callback):
    """A function that is called with each row of the curve."""

    function: Callable[[CurveRow], Any]

    def on_step(self, row: CurveRow) -> None:
        """Calls the function."""
        self.function(row)
