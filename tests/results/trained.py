"""A tiny model trained for real on pairs of one's choice: the cell's row, curve and pair table, for diagnosis."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

import losses
from harness.data.tokens import Row, item_of, make_encoder
from harness.evaluation.pair_table import pair_table
from harness.model.logprobs import Scorer
from harness.model.sources import load_policy
from harness.training.loop import train
from results import metrics
from suites import Message, Pair
from tests.harness.jobs import after_step, make_job, scores

NOISE_FLOOR = 1e-4


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a cell leaves, and the policy itself."""

    row: dict[str, Any]
    curve: pd.DataFrame
    pairs: pd.DataFrame
    model: torch.nn.Module

    @property
    def parts(self) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
        return self.row, self.curve, self.pairs


def encoded(tokenizer, pairs: Sequence[dict[str, str]], split: str) -> list[Row]:
    """Token rows of `prompt`, `chosen`, `rejected`, each a cluster of its own."""
    encoder = make_encoder(tokenizer, template="auto", max_tokens=512, overlong="drop")
    texts = [
        Pair(f"{split}-{i}", (Message("user", p["prompt"]),), p["chosen"], p["rejected"], f"{split}-{i}", split)
        for i, p in enumerate(pairs)
    ]
    return list(encoder.encode(texts).rows)


def trained(
    source,
    tokenizer,
    training: Sequence[dict[str, str]],
    held_out: Sequence[dict[str, str]],
    *,
    loss: str | losses.Loss = "dpo",
    lr: float = 1e-3,
    beta: float = 0.1,
    evals: int = 1,
    model=None,
    **changes,
) -> Trained:
    """One cell: trained on `training`, measured on `held_out` as validation and as test rows."""
    rows = encoded(tokenizer, training, "train")
    measured = encoded(tokenizer, held_out, "validation") + encoded(tokenizer, held_out, "test")
    items = [item_of(row) for row in measured]
    model = model or load_policy(source, "cpu")
    reference = scores(Scorer(model), items)
    card = losses.get(loss) if isinstance(loss, str) else loss
    job = make_job(model, rows, card, lr=lr, **changes)
    given = {"beta": beta} if "beta" in job.hyperparameters else {}
    job = dataclasses.replace(job, hyperparameters=dict(job.hyperparameters) | given)
    steps = job.feed.steps
    due = {steps * (i + 1) // evals for i in range(evals)}
    tables = []

    def measure(step: int) -> None:
        if step in due:
            tables.append(pair_table(measured, scores(Scorer(model), items), reference, step))

    curve = pd.DataFrame(train(Scorer(model), job, [after_step(measure)]))
    last = tables[-1]
    row = {"control": False, "reward": card.reward, "noise_floor": NOISE_FLOOR, "training_noise_floor": NOISE_FLOOR}
    row |= metrics.measure(last[last["split"] == "test"], reward=card.reward, beta=beta, noise_floor=NOISE_FLOOR)
    row["validation_preference_accuracy"] = metrics.preference_accuracy(last[last["split"] == "validation"])
    return Trained(row, curve, pd.concat(tables, ignore_index=True), model)
