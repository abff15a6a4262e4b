"""A row of the curve, by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from harness.data.tokens import Row
from harness.experiment.learning_rate import Schedule
from harness.training.curve import appended, curve_row
from harness.training.feed import Batch
from harness.training.objective import Statistics

PAIRS = [Row(str(i), str(i), "train", (1, 2), ((3,), (4, 5))) for i in range(2)]
SEEN = Statistics(
    values=torch.tensor([0.5, 1.5]),
    terms={"nll": torch.tensor([2.0, 4.0])},
    rewards=torch.tensor([1.0, -1.0, 3.0, 3.0]),
    totals=torch.tensor([-2.0, -3.0, -4.0, -6.0]),
    weights=torch.tensor([0.1, 0.1, 0.2, 0.2]),
    preferred=torch.tensor([True, False, True, False]),
)


def row(clip=1.0, rows=PAIRS, norm=2.0, beta=0.5):
    job = SimpleNamespace(hyperparameters={"beta": beta}, schedule=Schedule(1e-3, clip=clip))
    return curve_row(job, Batch(4, 0, rows), SEEN, norm, 1e-4)


def test_means_over_chosen_and_rejected_and_ties_as_one_half():
    found = row()
    assert (found["step"], found["loss"], found["learning_rate"], found["gradient_norm"]) == (5, 1.0, 1e-4, 2.0)
    assert (found["reward_chosen"], found["reward_rejected"], found["margin"]) == (2.0, 1.0, 1.0)
    assert (found["chosen_logp"], found["rejected_logp"]) == (-3.0, -4.5)
    assert found["accuracy"] == 0.75 and found["term_nll"] == 3.0
    assert found["gradient_weight"] == pytest.approx(0.15 / 0.5)


def test_a_gradient_is_clipped_above_the_limit_and_never_where_there_is_none():
    assert [row(clip=clip)["clipped"] for clip in (1.0, 2.0, 3.0, 0.0)] == [True, False, False, False]


def test_single_rated_completions_have_no_accuracy():
    rated = [Row("1", "1", "train", (1,), ((3,),), desirable=True)]
    assert math.isnan(row(rows=rated)["accuracy"])


def test_tokens_and_seconds_run_on_over_the_steps():
    curve = []
    assert appended(curve, row(), PAIRS, 2.5)["tokens"] == 2 * 5
    last = appended(curve, row(), PAIRS[:1], 1.0)
    assert (last["tokens"], last["seconds"]) == (15, 3.5) and curve[-1] is last and len(curve) == 2
