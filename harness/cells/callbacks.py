"""What a cell's own training is looked on by: its log, the display, and the evaluations on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.compute import ranks
from harness.errors import NonFinite
from harness.evaluation.pair_table import keep_table, kept_table, not_finite, pair_table
from harness.progress import Progress
from harness.training.callbacks import Callback
from harness.training.curve import CurveRow
from harness.training.job import Job
from harness.training.loaded_model import LoadedModel

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass
class StepLog(Callback):
    """Tells each step to the cell's log and to the display."""

    lines: list[str]
    progress: Progress
    steps: int
    tokens: int = 0

    def on_step(self, row: CurveRow) -> None:
        """A line of the log; the display wants the step's own tokens."""
        self.lines.append(f"step {row['step']}/{self.steps} loss {row['loss']:.6g} margin {row['margin']:.6g}")
        self.progress.step(int(row["step"]), row["loss"], int(row["tokens"]) - self.tokens)
        self.tokens = int(row["tokens"])


@dataclass
class Evaluations(Callback):
    """Measures the held-out rows after the steps that are due, the last one among them, and tells the others.

    folder: where tables are kept beside the checkpoints from which a cell goes on; None where there are none.
    """

    loaded: LoadedModel
    model: Any
    job: Job
    folder: Path | None
    others: Sequence[Callback]
    measured: dict[int, DataFrame] = field(default_factory=dict)

    @property
    def due(self) -> set[int]:
        """The steps after which the rows are measured, evenly over the training."""
        steps, evals = self.job.feed.steps, self.loaded.options.evals
        return {math.ceil(steps * number / evals) for number in range(1, evals + 1)}

    def on_step(self, row: CurveRow) -> None:
        """Measures where it is due. Raises: NonFinite where the last updates have spoilt the weights."""
        step = int(row["step"])
        if step in self.due:
            self.measured[step] = table = self._measure(step)
            if self.folder is not None and ranks.is_main_process():
                keep_table(self.folder, table, step)
            for callback in self.others:
                callback.on_evaluation(table)

    def tables(self) -> dict[int, DataFrame]:
        """Step -> its table, for all that were due; those of an earlier process are read."""
        missing = self.due - self.measured.keys()
        return self.measured | ({step: kept_table(self.folder, step) for step in missing} if self.folder else {})

    def _measure(self, step: int) -> DataFrame:
        rows, scores = self.loaded.data_rows, self.loaded.evaluate(self.model)
        if spoilt := not_finite(rows, scores):
            raise NonFinite(
                f"{self.job.loss.name} after step {step} of {self.job.feed.steps}: log-probs of {len(spoilt)} held-out "
                f"rows are not finite, the first {spoilt[0]}; the model has diverged, lower lr"
            )
        return pair_table(rows, scores, self.loaded.evaluation_reference, step)
