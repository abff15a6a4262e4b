"""Synthetic runs and curves for the tests of the reports: made-up numbers, in the declared columns."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pandas
import pytest

from results.cells import store
from results.schema.row import CURVE_COLUMNS, ROW_COLUMNS

REWARDS = {
    "dpo": "log_ratio",
    "ipo": "mean_log_ratio",
    "kto": "log_ratio",
    "simpo": "mean_log_prob",
    "orpo": "log_odds",
}


def cell(loss: str, *, lr: float | None = 1e-5, seed: int | None = 0, **given: Any) -> dict[str, Any]:
    """One row with every metric filled; `given` overrides columns."""
    index = (["none", "sft", *REWARDS].index(loss) if loss in ("none", "sft", *REWARDS) else 7) / 100
    hyperparameters = given.pop("hyperparameters", {"beta": 0.1} if loss not in ("none", "sft") else {})
    row: dict[str, Any] = {
        "loss": loss,
        "lr": lr,
        "seed": seed,
        "beta": hyperparameters.get("beta"),
        "status": "done",
        "hyperparameters": json.dumps(hyperparameters),
        "control": loss in ("none", "sft"),
        "reward": REWARDS.get(loss, "log_prob" if loss == "sft" else None),
        "suite": "hh-rlhf",
        "model": "smollm2-135m",
        "protocol": "p1",
        "cell": f"{loss}-{lr}-{seed}-{sorted(hyperparameters.items())}",
        "tuning": "full",
        "precision": "fp32",
        "start": "model",
        "template": "plain",
        "train_pairs": 512,
        "test_pairs": 256,
        "eval_pairs": 256,
        "dropped_pairs": 0,
        "steps": 32,
        "n": 256,
        "n_clusters": 230,
        "preference_accuracy": 0.6 + index,
        "preference_accuracy_se": 0.031,
        "mean_ratio_accuracy": 0.58 + index,
        "mean_ratio_accuracy_se": 0.03,
        "reward_accuracy": 0.61,
        "reward_accuracy_se": 0.03,
        "mean_likelihood_accuracy_gain": 0.012 - index,
        "mean_likelihood_accuracy_gain_se": 0.01,
        "accuracy_chosen_longer": 0.7,
        "accuracy_chosen_longer_se": 0.04,
        "accuracy_chosen_shorter": 0.46 + index,
        "accuracy_chosen_shorter_se": 0.045,
        "accuracy_length_balanced": 0.58,
        "longer_wins_baseline": 0.56,
        "chosen_logp_drift": 1.234 - 10 * index,
        "rejected_logp_drift": -0.12,
        "displaced_fraction": 0.35,
        "margin": 1.02,
        "effective_beta": 0.41,
        "train_seconds": 241.4,
        "seconds": 300.0,
        "tokens_per_second": 1234.5,
        "peak_memory_bytes": 4 * 2**30,
        "device": "cpu",
        "commit": "abc1234",
        "versions": json.dumps({"torch": "2.13.0"}),
        "clipped_fraction": 0.25,
    }
    return row | given


def frame_of(*rows: dict[str, Any]) -> pandas.DataFrame:
    """The rows as `results.read` gives them: all declared columns with their types, extra ones at the end."""
    declared = {column.name: column.dtype for column in ROW_COLUMNS}
    extra = [name for row in rows for name in row if name not in declared]
    frame = pandas.DataFrame(list(rows), columns=[*declared, *dict.fromkeys(extra)])
    return frame.astype(declared).copy()


def curve(*, steps: int = 32, terms: tuple[str, ...] = ()) -> pandas.DataFrame:
    """A made-up training curve that rises, falls and wobbles, in the stored form."""
    rows = []
    for step in range(1, steps + 1):
        wobble = math.sin(step * 2.3) / 4
        row = {
            "step": step,
            "loss": 0.7 - 0.005 * step,
            "reward_chosen": 0.03 * step + wobble,
            "reward_rejected": -0.02 * step + wobble,
            "margin": 0.05 * step,
            "accuracy": 0.5 + wobble / 2,
            "chosen_logp": -140 + wobble * 40,
            "rejected_logp": -130 + wobble * 40,
            "gradient_norm": 3.0,
            "gradient_weight": 0.5,
            "clipped": True,
            "learning_rate": 1e-5,
            "tokens": 100 * step,
            "seconds": 2.0 * step,
        }
        rows.append(row | {f"term_{name}": 0.1 * step for name in terms})
    names = [column.name for column in CURVE_COLUMNS] + [f"term_{name}" for name in terms]
    return pandas.DataFrame(rows, columns=names)


def demo_rows() -> list[dict[str, Any]]:
    """Two baselines and five losses of one seed, in an unhelpful order."""
    simpo = {"beta": 2.0, "gamma_beta_ratio": 0.5}
    return [
        cell("simpo", hyperparameters=simpo, effective_beta=5.2),
        cell("orpo", lr=1e-4, effective_beta=0.07),
        cell("kto"),
        cell("ipo", effective_beta=0.004, mean_ratio_accuracy=0.49),
        cell("dpo"),
        cell("sft", lr=2e-4),
        cell("none", lr=None, seed=None, train_seconds=None),
    ]


@pytest.fixture
def runs() -> pandas.DataFrame:
    """The demo's table as a frame."""
    return frame_of(*demo_rows())


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The builders above: make.cell, make.frame, make.curve, make.demo_rows, make.store."""
    return SimpleNamespace(cell=cell, frame=frame_of, curve=curve, demo_rows=demo_rows, store=store_rows)


def store_rows(out: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows as cells on disk; the trained and finished ones with a curve, orpo's with terms."""
    for row in rows:
        folder = store.cell_folder(out, row["suite"], row["loss"], row["cell"])
        terms = ("nll", "odds") if row["loss"] == "orpo" else ()
        drawn = None if row["loss"] == "none" else curve(terms=terms)
        if row["status"] == "done":
            store.write_cell(folder, cell={}, row=row, pairs=None, curve=drawn, log="")
        else:
            store.write_failed(folder, cell={}, row=row)
    return out


def tested_pairs(right: float, seed: int, pairs: int = 90) -> pandas.DataFrame:
    """Test rows that every cell shares, of which about this share is ranked right; hard ones are wrong first."""
    luck = numpy.random.default_rng([seed, int(1000 * right)])
    is_right = numpy.arange(pairs) / pairs < right + luck.normal(0, 0.008)
    return pandas.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(pairs)],
            "cluster_id": [f"c{i}" for i in range(pairs)],
            "split": "test",
            "step": 32,
            "policy_chosen_logp": numpy.where(is_right, -9.0, -11.0),
            "policy_rejected_logp": -10.0,
            "reference_chosen_logp": -10.0,
            "reference_rejected_logp": -10.0,
            "chosen_tokens": 5,
            "rejected_tokens": 5,
            "prompt_tokens": 3,
        }
    )


@pytest.fixture(scope="session")
def tested_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three losses of three seeds and their pair tables: dpo and ipo alike, kto far below."""
    out = tmp_path_factory.mktemp("tested")
    for loss, right in (("kto", 0.4), ("dpo", 0.78), ("ipo", 0.8)):
        for seed in range(3):
            pairs = tested_pairs(right, seed)
            value = float((pairs["policy_chosen_logp"] > -10).mean())
            row = cell(loss, seed=seed, preference_accuracy=value, mean_ratio_accuracy=value)
            folder = store.cell_folder(out, row["suite"], loss, row["cell"])
            store.write_cell(folder, cell={}, row=row, pairs=pairs, curve=None, log="")
    return out
