"""The part `sweep`: 5 losses, 2 betas, 2 learning rates; a whole command of ours beside TRL's trainers.

Ours is `python -m harness run`, from its start to the written report, with an empty reference store: suite read
and tokenised, layout checked, every cell trained, evaluated in fp32 and stored. TRL's is one process: tokens at
hand, every cell trained by TRL's own trainer of that loss at its fastest settings and evaluated in the training
precision; nothing is written or reported. So what differs besides the training speaks for TRL.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import results
from benchmarks.settings import Settings
from benchmarks.table import gibibytes, machine_line, number, table
from benchmarks.turns import Found, Say, child, measured
from harness.cache import cache_folder

LOSSES = ("dpo", "ipo", "kto", "simpo", "orpo")
BETAS, LRS = ("0.1", "0.5"), ("1e-6", "1e-5")
SIZES = {1: (LOSSES[:1], BETAS[:1], LRS[:1]), 5: (LOSSES, BETAS[:1], LRS[:1]), 20: (LOSSES, BETAS, LRS)}
CELLS_OF_A_LOSS = len(BETAS) * len(LRS)


def measure(settings: Settings, say: Say) -> dict[str, Any]:
    """Ours at 1, 5 and 20 cells, and TRL's cells: once each, for an hour holds many steps already."""
    found: dict[str, Any] = {"ours": {}}
    sides: dict[str, Callable[[], Found]] = {
        f"ours, {size} cells": lambda size=size: _ours(size, settings) for size in SIZES
    }
    for name, side in {**sides, "trl": lambda: _trl(settings)}.items():
        one = side()
        say(f"{name}: {one.get('error') or number(one['seconds'], ' s')}")
        if name == "trl":
            found["trl"] = one
        else:
            found["ours"][name.split()[1]] = one
    return found


def words_of(settings: Settings, size: int) -> list[str]:
    """The harness's options of a sweep of so many cells."""
    losses, betas, lrs = (",".join(values) for values in SIZES[size])
    return [
        *settings.words,
        f"losses={losses}",
        f"betas={betas}",
        f"lrs={lrs}",
        "controls=false",
        f"train_pairs={settings.train_pairs}",
        f"eval_pairs={settings.eval_pairs}",
    ]


def _ours(size: int, settings: Settings) -> Found:
    """The command with a cache that holds the model and no reference."""
    with tempfile.TemporaryDirectory() as folder:
        cache, out = Path(folder) / "cache", Path(folder) / "runs"
        cache.mkdir()
        for kept in ("models", "digests"):
            (cache / kept).symlink_to(cache_folder(kept).resolve())
        command = [sys.executable, "-m", "harness", "run", *words_of(settings, size), f"out={out}"]
        ended = child(command, PREFERENCE_HARNESS_CACHE=str(cache))
        if ended.code:
            return {"error": ended.failure, "stderr": ended.stderr[-4000:]}
        rows = results.read(out)
    if len(rows) != size or (rows["status"] != "done").any():
        return {"error": f"{len(rows)} rows of {size} cells, status {sorted(set(rows['status']))}"}
    # Each cell resets the system's own record of the largest size, so both are asked.
    peak = int(rows["peak_memory_bytes"].max())
    if (rows["device"] == "cpu").all():
        peak = max(peak, ended.peak_memory_bytes)
    return {
        "cells": size,
        "seconds": ended.seconds,
        "cpu_seconds": ended.cpu_seconds,
        "peak_memory_bytes": peak,
        "train_seconds": float(rows["train_seconds"].sum()),
    }


def _trl(settings: Settings) -> Found:
    """All cells, or one a loss with the others reckoned from it."""
    betas, lrs = (BETAS, LRS) if settings.cells == "all" else (BETAS[:1], LRS[:1])
    cells = [[loss, float(beta), float(lr)] for loss in LOSSES for beta in betas for lr in lrs]
    words = [*words_of(settings, 1), "store=false"]
    found = measured({"side": "trl cells", "words": words, "micro": settings.trl_micro, "cells": cells})
    if "error" in found:
        return found
    seconds = found["process_seconds"]
    if settings.cells == "one":
        seconds += sum((CELLS_OF_A_LOSS - 1) * (c["train_seconds"] + c["evaluation_seconds"]) for c in found["cells"])
    return found | {"seconds": seconds}


def lines(found: Mapping[str, Any], settings: Settings) -> list[str]:
    """What the sweep takes on both sides, and what a cell of ours costs as their number grows."""
    ours, trl = found["ours"], found["trl"]
    whole = ours["20"]
    every = {f"ours, {size} cells": one for size, one in ours.items()} | {"trl": trl}
    rows = [
        [
            "ours, 20 cells",
            number(whole.get("seconds")),
            number(whole.get("cpu_seconds")),
            gibibytes(whole.get("peak_memory_bytes")),
        ],
        [
            "trl fastest, 20 cells",
            number(trl.get("seconds")),
            number(trl.get("process_cpu_seconds") if settings.cells == "all" else None),
            gibibytes(trl.get("peak_memory_bytes")),
        ],
        ["ratio", *(number(_quotient(trl, whole, key)) for key in _keys(settings))],
    ]
    growth = [
        [size, number(one.get("seconds")), number(one["seconds"] / int(size) if "seconds" in one else None)]
        for size, one in ours.items()
    ]
    how = (
        "TRL's cells were all run"
        if settings.cells == "all"
        else "one cell a loss was run through TRL; training and evaluation of the other 15 are reckoned from it, their "
        "loading and reference passes left out, so TRL's figure is a lower bound"
    )
    return [
        machine_line([trl]),
        f"{settings.train_pairs} training pairs, {settings.eval_pairs} validation and {settings.eval_pairs} test pairs "
        f"a cell; {how}",
        "",
        *table(["", "seconds", "CPU seconds", "peak memory"], rows),
        "",
        *table(["cells of ours", "seconds", "seconds a cell"], growth),
        *(f"{name} FAILED: {one['error']}" for name, one in every.items() if "error" in one),
    ]


def _keys(settings: Settings) -> Sequence[tuple[str, str]]:
    cpu = ("process_cpu_seconds", "cpu_seconds") if settings.cells == "all" else ("none", "none")
    return [("seconds", "seconds"), cpu, ("peak_memory_bytes", "peak_memory_bytes")]


def _quotient(trl: Found, ours: Found, key: tuple[str, str]) -> float | None:
    theirs, own = trl.get(key[0]), ours.get(key[1])
    return theirs / own if theirs and own else None
