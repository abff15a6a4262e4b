"""What the harness costs a cell beyond its training and evaluation, and whether finished cells make it cost more.

    python -m benchmarks.cells cells=1000

Cells of the random model train for real, two steps each; the time inside the training loop and inside evaluation is
taken out. Told apart are the first and the last tenth of the cells, the look at what is finished with the report,
reading the rows, and verifying them. All in CPU time but the last line, so that a busy machine measures the same.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import harness.cells.cell
import harness.engines.worker
import results
from benchmarks.table import number, table
from harness.options.lookup import read_options
from harness.options.words import SCALAR, split
from harness.progress import silent
from harness.sweeps.run import run
from harness.training.loaded_model import LoadedModel
from results.cells.verify import verify

PAIRS, TRAIN, HELD_OUT = 60, 16, 4


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit code, 2 for words that are none of cells=NUMBER."""
    words = split(sys.argv[1:] if argv is None else argv, {"cells": SCALAR})
    cells = str(words.values.get("cells", "1000"))
    if words.errors or words.bare or not cells.isdecimal() or int(cells) < 20:
        problems = [*words.errors, f"cells={cells}: give a whole number of at least 20"]
        print("error: " + "; ".join(problems), file=sys.stderr)
        return 2
    print(text(measure(int(cells))))
    return 0


def measure(cells: int) -> dict[str, Any]:
    """Runs so many cells, then the same command again; seconds of each part."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ.setdefault("PREFERENCE_HARNESS_CACHE", str(place / "cache"))
        data = place / "pairs.jsonl"
        data.write_text("".join(json.dumps(_pair(i)) + "\n" for i in range(PAIRS)))
        betas = ",".join(f"{0.1 + i / 1000:g}" for i in range(cells))
        words = [
            f"suite={data}",
            "losses=dpo",
            f"betas={betas}",
            "model=tiny",
            f"train_pairs={TRAIN}",
            "batch_size=8",
            f"eval_pairs={HELD_OUT}",
            "precision=fp32",
            "device=cpu",
            "threads=1",
            "workers=0",
            "controls=false",
            f"out={place / 'runs'}",
        ]
        spent = [_timed_run(words) for _ in range(2)]
        began = time.process_time()
        rows = len(results.read(place / "runs"))
        read = time.process_time()
        if findings := verify(place / "runs").findings:
            raise RuntimeError(f"cells just made are not what they say: {findings[0]}")
        return {
            "cells": rows,
            "each": spent[0]["each"],
            "whole": spent[0]["whole"],
            "again": spent[1]["cpu"],
            "read": read - began,
            "verify": time.process_time() - read,
        }


def _timed_run(argv: Sequence[str]) -> dict[str, Any]:
    """One command: its seconds, and of each cell those outside training and evaluation (CPU seconds)."""
    options, _ = read_options(argv)
    each: list[float] = []
    inside = [0.0]

    def timed(function: Callable[..., Any], note: Callable[[float], None]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            began = time.process_time()
            try:
                return function(*args, **more)
            finally:
                note(time.process_time() - began)

        return call

    def add(seconds: float) -> None:
        inside[0] += seconds

    def end(seconds: float) -> None:
        each.append(seconds - inside[0])
        inside[0] = 0.0

    kept = harness.cells.cell.train, LoadedModel.evaluate, harness.engines.worker.Worker.run
    harness.cells.cell.train, LoadedModel.evaluate = timed(kept[0], add), timed(kept[1], add)
    harness.engines.worker.Worker.run = timed(kept[2], end)
    began, worked = time.perf_counter(), time.process_time()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            run(options, silent(), "python -m benchmarks.cells")
    finally:
        harness.cells.cell.train, LoadedModel.evaluate, harness.engines.worker.Worker.run = kept
    return {"whole": time.perf_counter() - began, "cpu": time.process_time() - worked, "each": each}


def _pair(number: int) -> dict[str, str]:
    return {"prompt": f"{number}: how?", "chosen": f"good {number * 7}", "rejected": f"bad {number * 5}"}


def text(found: dict[str, Any]) -> str:
    """The figures as a table."""
    each = found["each"][1:]  # the first cell loads the model
    tenth = max(1, len(each) // 10)
    rows = [
        ("a cell beyond training and evaluation, first tenth", number(1000 * sum(each[:tenth]) / tenth, " ms")),
        ("a cell beyond training and evaluation, last tenth", number(1000 * sum(each[-tenth:]) / tenth, " ms")),
        ("the same command again: nothing to train, report written", number(found["again"], " s")),
        ("results.read", number(found["read"], " s")),
        ("verify", number(found["verify"], " s")),
        ("the whole command, wall time", number(found["whole"], " s")),
    ]
    return "\n".join(table([f"{found['cells']} cells", "CPU time"], rows))


if __name__ == "__main__":
    sys.exit(main())
