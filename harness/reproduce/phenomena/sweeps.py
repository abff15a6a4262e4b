"""Sweeps inside a reproduction: train what an argv asks for, and hand back rows and curves of exactly those cells."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UsageError
from harness.options.models import ENTRIES
from harness.progress import Progress
from harness.reproduce.frame import Request

if TYPE_CHECKING:
    import pandas as pd


PACKAGED = "smollm2-135m"


class Texts(NamedTuple):
    """One pair as text."""

    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Measured:
    """rows: one a finished cell. curves: one row a logged step, with the cell's beta, lr and seed beside it.

    place: the folder of the suite's cells.
    """

    rows: pd.DataFrame
    curves: pd.DataFrame
    place: Path

    def by_seed(self, loss: str, column: str, **settings: float) -> list[float]:
        """A column of a loss's cells at these settings (beta, lr), in the order of seeds."""
        return _picked(self.rows, loss, settings).sort_values("seed")[column].astype(float).tolist()

    def curve(self, loss: str, column: str, **settings: float) -> list[list[float]]:
        """A curve column of a loss's cells, step by step, one list a seed."""
        groups = _picked(self.curves, loss, settings).sort_values("step").groupby("seed")
        return [group[column].astype(float).tolist() for _, group in groups]

    def accuracies(self, loss: str) -> list[list[float]]:
        """Accuracy on the test rows at each evaluation of a loss's cells, one list a seed."""
        import results

        cells = _picked(self.rows, loss, {}).sort_values("seed")["cell"]
        measured = results.pairs(self.place, step="all").groupby(["cell", "step"])
        found = measured.apply(results.metrics.preference_accuracy)
        return [found[cell].sort_index().tolist() for cell in cells]


def measure(argv: Sequence[str], progress: Progress, *, at_most: str = "") -> Measured:
    """Run a sweep (finished cells are kept) and read what it left. The sweep's own report is written, not printed.

    at_most: a number of rows (train_pairs) that is lowered, with a note, where fewer are usable: as published, it
    counts rows that our rules drop.
    Raises: UsageError where it cannot be run or a cell failed; SuiteError; KeyboardInterrupt where it was interrupted.
    """
    import results
    from harness.cells.sweep import prepare_sweep
    from harness.engines.run import machine_of
    from harness.options.lookup import read_options
    from harness.sweeps.run import run

    options, _ = read_options(argv)
    options.model_fields_set.discard(at_most)  # a default is lowered, a number that was typed is an error
    with contextlib.redirect_stdout(io.StringIO()):
        code = run(options, progress, f"python -m harness run {' '.join(argv)}")
    if code == 130:
        raise KeyboardInterrupt
    sweep = prepare_sweep(options, machine_of(options, progress), progress)
    cells = {sweep.identity.cell_id(trial) for trial in sweep.trials}
    place = Path(options.out) / sweep.data.suite.name
    rows = results.read(place)
    rows = rows[rows["cell"].isin(cells)]
    failed = rows[rows["status"] == "failed"]
    if len(failed):
        raise UsageError([f"{row.loss} failed: {row.reason}" for row in failed.itertuples()])
    curves = results.curves(place).merge(rows[["cell", "beta", "lr", "seed"]], on="cell", suffixes=("_now", ""))
    return Measured(rows, curves, place)


def write_pairs(path: Path, train: Sequence[Texts], held_out: Sequence[Texts]) -> Path:
    """Write a suite file: its training pairs, and held-out ones, half for validation and half for test."""
    half = len(held_out) // 2
    splits = {"train": train, "validation": held_out[:half], "test": held_out[half:]}
    lines = [{**pair._asdict(), "split": split} for split, pairs in splits.items() for pair in pairs]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def _picked(frame: pd.DataFrame, loss: str, settings: dict[str, float]) -> pd.DataFrame:
    kept = frame[frame["loss"] == loss]
    for key, value in settings.items():
        kept = kept[(kept[key] - value).abs() < 1e-12]
    if kept.empty:
        raise LookupError(f"no cell of {loss} at {settings}")
    return kept


def learning_rate(request: Request, times: float) -> float:
    """A multiple of the model's own learning rate; of a model without an entry, of the packaged one's."""
    entry = ENTRIES.get(request.model or PACKAGED, ENTRIES[PACKAGED])
    return float(f"{times * entry.lr:.3g}")


def less(minuend: Sequence[float], subtrahend: Sequence[float]) -> list[float]:
    """The differences, pair by pair: of two settings at the same seeds."""
    return [a - b for a, b in zip(minuend, subtrahend, strict=True)]


def sweep_word(key: str, values: Sequence[float]) -> str:
    """`key=value,value`."""
    return f"{key}={','.join(f'{value:g}' for value in values)}"
