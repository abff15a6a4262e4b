"""How long a report of many cells takes, on made-up cells that have everything a report can show.

    python -m benchmarks.report cells=1000 [out=DIR]

Made up are pair tables of 240 rows, curves of 64 steps, generated completions' numbers, a judge and three levels of
label noise; the numbers of a row are derived from its tables as a run's are. With out= the cells and their report stay
there to be looked at; otherwise they go to a folder that is removed.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import reports
import results
from benchmarks.table import number, table
from harness.options.words import SCALAR, split
from results.cells import store
from results.metrics.row import derived

PAIRS, STEPS = 240, 64


class Made(NamedTuple):
    """A made-up loss: its own reward, its grid, and the nats that it adds to the margin and to chosen completions."""

    reward: str | None
    betas: tuple[float, ...]
    lrs: tuple[float, ...]
    gain: float
    change: float


LOSSES: Mapping[str, Made] = {
    "dpo": Made("log_ratio", (0.03, 0.1, 0.3), (3e-6, 1e-5, 3e-5), 1.1, 1.0),
    "ipo": Made("mean_log_ratio", (0.01, 0.1, 1.0), (3e-6, 1e-5, 3e-5), 1.4, -4.0),
    "kto": Made("log_ratio", (0.03, 0.1, 0.3), (3e-6, 1e-5, 3e-5), 1.0, 1.2),
    "simpo": Made("mean_log_prob", (1.0, 2.0, 10.0), (3e-6, 1e-5, 3e-5), 1.3, -2.0),
    "orpo": Made("log_odds", (0.05, 0.1, 1.0), (3e-5, 1e-4, 3e-4), 0.4, 6.0),
}
CONTROL = Made("log_prob", (), (2e-4,), 0.1, 9.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit code, 2 for words that are not understood."""
    words = split(sys.argv[1:] if argv is None else argv, {"cells": SCALAR, "out": SCALAR})
    cells = str(words.values.get("cells", "1000"))
    if words.errors or words.bare or not cells.isdecimal() or int(cells) < 1:
        problems = [*words.errors, f"cells={cells}: give a whole number of at least 1"]
        print("error: " + "; ".join(problems), file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        out = Path(words.values.get("out", folder))
        write(out, int(cells))
        print(text(measure(out)))
    return 0


def write(out: Path, cells: int) -> None:
    """So many made-up cells: settings in turn over losses, each with three seeds, then with more label noise."""
    for row, pairs, curve in itertools.islice(_cells(), cells):
        folder = store.cell_folder(out, row["suite"], row["loss"], row["cell"])
        store.write_cell(folder, cell={}, row=row, pairs=pairs, curve=curve, log="")


def measure(out: Path) -> dict[str, float]:
    """Seconds of CPU time and of the clock that the report takes, and the size of its page in bytes."""
    began, worked = time.perf_counter(), time.process_time()
    paths = reports.write(out)
    return {
        "cells": float(len(results.read(out))),
        "cpu": time.process_time() - worked,
        "clock": time.perf_counter() - began,
        "page": float(paths["report.html"].stat().st_size),
    }


def text(found: Mapping[str, float]) -> str:
    """The figures as a table."""
    rows = [
        ("report, CPU time", number(found["cpu"], " s")),
        ("report, wall time", number(found["clock"], " s")),
        ("report.html", number(found["page"] / 2**20, " MiB")),
    ]
    return "\n".join(table([f"{int(found['cells'])} cells", ""], rows))


Cell = tuple[dict[str, Any], pd.DataFrame, pd.DataFrame | None]


def _cells() -> Iterator[Cell]:
    """Controls, a setting of every loss, the same with noisier labels, then whole grids of beta and lr without end."""
    yield _cell("none", None, None, None, 0.0)
    seeds = range(3)
    yield from (_cell("sft", None, 2e-4, seed, 0.0) for seed in seeds)
    for noise, loss, seed in itertools.product((0.0, 0.1, 0.2), LOSSES, seeds):
        yield _cell(loss, LOSSES[loss].betas[1], LOSSES[loss].lrs[1], seed, noise)
    for turn in itertools.count():
        for loss, made in LOSSES.items():
            for beta, lr, seed in itertools.product(made.betas, made.lrs, seeds):
                if turn or (beta, lr) != (made.betas[1], made.lrs[1]):
                    yield _cell(loss, beta * (1 + turn / 10), lr, seed, 0.0)


def _cell(loss: str, beta: float | None, lr: float | None, seed: int | None, noise: float) -> Cell:
    """One cell's row and tables: the further lr and the lower beta, the further everything moves."""
    made = LOSSES.get(loss, CONTROL)
    name = f"{loss}-{beta}-{lr}-{seed}-{noise}"
    draw = np.random.default_rng(_hash_of(name))
    shrinkage = (made.betas[1] / beta) ** 0.15 if beta else 1.0
    reach = 0.0 if lr is None else (lr / made.lrs[len(made.lrs) // 2]) ** 0.5 * shrinkage
    gain, change = made.gain, made.change
    win_rate = 0.5 + reach * gain / 9
    reward = reach * gain - reach**2 / 4 + (draw.normal(0, 0.05) if lr else 0.0)
    learned = reach * gain * (1 - 2 * noise) + (draw.normal(0, 0.05) if lr else 0.0)
    pairs = _pairs(draw, learned, reach * change)
    curve = None if lr is None else _curve(draw, reach * gain)
    row: dict[str, Any] = {
        "loss": loss,
        "beta": beta,
        "lr": lr,
        "seed": seed,
        "hyperparameters": {"beta": beta} if beta else {},
        "control": beta is None,
        "reward": made.reward if lr else None,
        "suite": "made-up",
        "model": "made-up",
        "protocol": "made-up",
        "cell": f"{_hash_of(name):012x}",
        "status": "done",
        "train_pairs": 512 if lr else 0,
        "label_noise": noise,
        "tuning": "full",
        "precision": "fp32",
        "start": "model",
        "test_pairs": PAIRS * 3 // 4,
        "eval_pairs": PAIRS,
        "device": "made up",
        "generated_prompts": 64,
        "generation": "g",
        "judge": "gold",
        "kl": 6 * reach**2,
        "kl_se": 0.3,
        "gold_reward": 1 + reward,
        "gold_reward_se": 0.1,
        "gold_reward_gain": reward,
        "gold_reward_gain_se": 0.08,
        "win_rate": win_rate,
        "win_rate_se": 0.05,
        "generated_tokens": 40.0 + 9 * reach,
        "length_ratio": 1 + reach / 5,
        "truncated_fraction": 0.1,
        "judgements": {"gold": {"win_rate": win_rate, "win_rate_se": 0.05, "length_agreement": 0.55}},
    }
    return row | derived(pairs, curve, reward=row["reward"], beta=beta, noise_floor=1e-5), pairs, curve


def _hash_of(name: str) -> int:
    """48 bits of a name, the same in every process."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:12], 16)


def _pairs(draw: np.random.Generator, gain: float, change: float) -> pd.DataFrame:
    """Test rows that every cell shares (the same reference and lengths), moved by `gain` and `change` nats."""
    rows = np.random.default_rng(0)
    lengths = rows.integers(5, 120, (PAIRS, 2))
    start = -4 * lengths + rows.normal(0, 5, (PAIRS, 2))
    liked = rows.normal(0, 1.5, PAIRS)
    moved = (0.6 + 0.8 * liked) * gain + draw.normal(0, 0.3, PAIRS) * bool(gain)
    chosen = change * lengths[:, 0] / 180 + moved / 2
    rejected = change * lengths[:, 1] / 180 - moved / 2
    return pd.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(PAIRS)],
            "cluster_id": [f"c{i // 2}" for i in range(PAIRS)],
            "split": ["test"] * (PAIRS * 3 // 4) + ["validation"] * (PAIRS // 4),
            "step": STEPS,
            "policy_chosen_logp": start[:, 0] + chosen,
            "policy_rejected_logp": start[:, 1] + rejected,
            "reference_chosen_logp": start[:, 0],
            "reference_rejected_logp": start[:, 1],
            "chosen_tokens": lengths[:, 0],
            "rejected_tokens": lengths[:, 1],
            "prompt_tokens": 30,
        }
    )


def _curve(draw: np.random.Generator, gain: float) -> pd.DataFrame:
    step = np.arange(1, STEPS + 1)
    rise = gain * step / STEPS
    noise = draw.normal(0, 0.1, (4, STEPS))
    return pd.DataFrame(
        {
            "step": step,
            "loss": 0.7 - rise / 9 + noise[0] / 5,
            "reward_chosen": rise / 2 + noise[1],
            "reward_rejected": -rise / 2 + noise[2],
            "margin": rise + noise[1] - noise[2],
            "accuracy": (0.5 + rise / 4 + noise[3] / 3).clip(0, 1),
            "chosen_logp": -90 + rise + 9 * noise[0],
            "rejected_logp": -88 - rise + 9 * noise[1],
            "gradient_norm": 3.0,
            "gradient_weight": 0.5 - rise / 9,
            "clipped": step % 3 == 0,
            "learning_rate": 1e-5,
            "tokens": 2000 * step,
            "seconds": 2.0 * step,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
