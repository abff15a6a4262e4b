"""The work of a sweep in tokens, counted by hand, and the time that it takes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from harness.cells import estimate
from harness.cells.estimate import ASSUMED_EFFICIENCY, Rates, Work, assumed_rates, measured_draws, seconds, work
from harness.cells.sweep import prepare_sweep
from harness.compute.machine import resolve
from harness.data.perturbations import Perturbations
from harness.data.tokens import Row, row_tokens
from harness.experiment.trial import Trial
from harness.options.cards import make
from harness.options.lookup import read_options
from harness.progress import silent

ROW = Row("r", "c", "train", (1, 2, 3), ((4, 5), (6, 7, 8, 9)))  # 9 tokens
DPO = Trial("dpo", {"beta": 0.1}, 1e-5, 0, control=False, perturbations=Perturbations(10))  # 90 tokens an epoch
NONE = Trial("none", {}, None, None, control=True)
GIVEN = replace(NONE, loss="mine", external_checkpoint=SimpleNamespace(name="given"))


def data(**changed) -> SimpleNamespace:
    """4 held-out rows, and training rows of 9 tokens each, as many as are asked for."""
    given = {"validation": [ROW], "test": [ROW] * 3, "max_new_tokens": 9, "sampled": None, "expected": False}
    rows = {"training_rows": lambda seed, perturbations: [ROW] * perturbations.train_pairs}
    return SimpleNamespace(**{**given, **rows, **changed})


def options(**values):
    return make({"suite": "x", "losses": ["dpo"], "train_pairs": [10], "batch_size": 2, **values})


@pytest.mark.parametrize(
    ("trials", "asked", "train", "evaluate"),
    [
        ([], {}, 0, 0),
        ([NONE], {}, 0, 36),
        ([replace(DPO, skip="it cannot run")], {}, 0, 36),
        ([replace(DPO, loss="simpo")], {}, 90, 36 + 36),
        ([DPO], {}, 90 + 30, 36 + 36),  # the reference of its rows at a third of a step
        ([DPO, replace(DPO, lr=1e-4)], {}, 2 * 90 + 30, 36 + 2 * 36),  # which both share
        ([DPO], {"epochs": 2, "evals": 3}, 2 * 90 + 30, 36 + 3 * 36),
        ([replace(DPO, loss="kto")], {}, 90 + 30 + 30, 36 + 36),  # and its mismatched completions
        ([GIVEN], {}, 0, 36 + 36),
        ([DPO], {"start": "sft"}, 90 + 30 + 90, 36 + 36),
        ([NONE], {"start": "sft"}, 0, 36),
        ([DPO], {"generate": 5}, 90 + 30, 36 + 36 + 2 * 45 * 2),
        ([NONE, GIVEN], {"generate": 5}, 0, 36 + 36 + 2 * 45 * 2),
        ([DPO], {"generate": 5, "rerank": 3}, 90 + 30, 36 + 36 + 2 * 45 * 2 + 3 * 45 * 4),
        ([replace(DPO, round=2)], {"rounds": 2}, 90 + 30, 36 + 36 + 2 * 13 * 4 * 9),
        ([replace(DPO, loss="simpo", round=2)], {"rounds": 2}, 90, 36 + 36 + 2 * 13 * 4 * 9),
    ],
)
def test_the_tokens_of_a_sweep_by_hand(trials, asked, train, evaluate):
    assert work(options(**asked), data(), trials) == Work(train, evaluate)


def test_completions_that_are_yet_to_be_sampled_are_work_and_kept_ones_are_none():
    sampled = SimpleNamespace(samples=3, max_new_tokens=7)
    suite = SimpleNamespace(rows=[ROW] * 5)
    expected = data(sampled=sampled, suite=suite, expected=True)
    assert work(options(), expected, [NONE]).evaluate == 36 + 2 * 5 * 3 * 7
    assert work(options(), data(sampled=sampled, suite=suite), [NONE]).evaluate == 36


def test_the_reference_is_measured_once_a_draw_of_rows_and_noise_makes_none():
    noisy = replace(DPO, perturbations=Perturbations(10, label_noise=0.2))
    more, other_seed = replace(DPO, perturbations=Perturbations(20)), replace(DPO, seed=1)
    found = measured_draws([NONE, DPO, noisy, replace(DPO, lr=1e-3), replace(DPO, loss="ipo"), more, other_seed])
    assert found == [(0, Perturbations(10)), (0, Perturbations(20)), (1, Perturbations(10))]
    assert measured_draws([replace(DPO, loss="simpo"), replace(DPO, round=2), GIVEN]) == []


def test_the_time_is_each_kind_of_token_at_its_rate():
    assert seconds(Work(10, 4), Rates(2.0, 0.5)) == 22.0
    assert seconds(Work(0, 0), Rates(2.0, 0.5)) == 0.0


def test_assumed_rates_are_six_and_two_operations_a_parameter_and_token():
    found = assumed_rates(1_000_000, "cpu", "bf16", tflops=2.0)
    assert found == pytest.approx((6e6 / (2e12 * ASSUMED_EFFICIENCY), 2e6 / (2e12 * ASSUMED_EFFICIENCY)))


@pytest.mark.parametrize(("precision", "training"), [("bf16", 4e12), ("fp32", 1e12)])
def test_without_a_rate_this_machine_is_measured_and_evaluations_are_in_fp32(monkeypatch, precision, training):
    rates = {torch.bfloat16: 4e12, torch.float32: 1e12}
    monkeypatch.setattr(estimate, "_matrix_rate", lambda device, dtype: rates[dtype])
    found = assumed_rates(1000, "cpu", precision)
    assert found == pytest.approx((6e3 / (training * ASSUMED_EFFICIENCY), 2e3 / (1e12 * ASSUMED_EFFICIENCY)))


@pytest.fixture
def words(pairs_file, tmp_path):
    small = ["model=tiny", "train_pairs=40", "eval_pairs=8", "batch_size=16"]
    return [f"suite={pairs_file}", *small, f"out={tmp_path / 'runs'}"]


def test_work_follows_each_trials_rows_and_noise_needs_no_reference_of_its_own(words):
    options, _ = read_options(
        [*words[:2], *words[3:], "losses=dpo", "controls=false", "train_pairs=16,32", "suite.label_noise=0,0.25"]
    )
    sweep = prepare_sweep(options, resolve(options), silent())
    tokens = [sum(map(row_tokens, sweep.data.training_rows(0, Perturbations(count)))) for count in (16, 32)]
    assert work(options, sweep.data, sweep.trials).train == sum(2 * count + count // 3 for count in tokens)


def test_work_counts_every_pass(words):
    options, _ = read_options([*words, "losses=dpo,simpo", "controls=false", "epochs=2", "evals=3"])
    sweep = prepare_sweep(options, resolve(options), silent())
    rows = sweep.data.training_rows(0, Perturbations(40))
    tokens = sum(len(row.prompt) + sum(map(len, row.completions)) for row in rows)
    held_out = sum(len(r.prompt) + sum(map(len, r.completions)) for r in sweep.data.validation + sweep.data.test)
    # two cells of two passes, the reference of dpo's training rows at a third of a step's cost
    assert work(options, sweep.data, sweep.trials) == Work(4 * tokens + tokens // 3, held_out * (1 + 2 * 3))
    assert work(options, sweep.data, []) == Work(0, 0)
