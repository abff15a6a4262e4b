"""How long a sweep will take and how much memory a cell needs, before it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch

import losses
from harness.data.dataset import Data
from harness.data.perturbations import Perturbations, start_perturbations
from harness.data.tokens import Row, row_tokens
from harness.experiment.identity import START_SEED
from harness.experiment.rounds import reference_of, round_tokens
from harness.experiment.trial import Trial
from harness.model.products_fp32 import product
from harness.options.run import Options

# Share of the matrix rate that a step reaches: measured around one third on small models, where
# attention, elementwise work and copies are most of the rest.
ASSUMED_EFFICIENCY = 0.33


class Rates(NamedTuple):
    """Seconds a token of a training step (forward, backward, update) and of an evaluation."""

    train: float
    evaluate: float


class Work(NamedTuple):
    """Tokens that a sweep trains on and evaluates, every pass counted."""

    train: int
    evaluate: int


def work(options: Options, data: Data, trials: Sequence[Trial]) -> Work:
    """The tokens of all trials, the reference passes and (where asked for) the start included."""
    held_out = _tokens(data.validation + data.test)
    trained = [trial for trial in trials if trial.lr is not None and not trial.skip]
    external = [trial for trial in trials if trial.external_checkpoint]
    train, evaluate = 0, held_out * (bool(trials) + len(external))
    for trial in trained:
        tokens = _tokens(data.training_rows(trial.training_seed, trial.perturbations)) * options.epochs
        needs = losses.get(trial.loss).needs
        # A mismatched completion is one forward of about a row, a third of a step.
        train += tokens + (tokens // 3 if "mismatched" in needs else 0)
        evaluate += held_out * options.evals
        if trial.round > 1:  # written one at a time, each token costs about two; then the reference reads them
            evaluate += 2 * round_tokens(data, trial.perturbations)
            train += tokens // 3 if reference_of(trial, options) else 0
    if data.expected and data.sampled:
        rows = len(data.suite.rows) * data.sampled.samples
        evaluate += 2 * rows * data.sampled.max_new_tokens
    for seed, perturbations in measured_draws(trained):
        train += _tokens(data.training_rows(seed, perturbations)) // 3
    if trials:
        # Written one at a time, each token costs about two that are read at once; the reference writes too.
        policies, completion_tokens = len(trained) + len(external), options.generate * data.max_new_tokens
        evaluate += 2 * completion_tokens * (policies + 1)
        evaluate += options.rerank * completion_tokens * (2 + policies + 1)  # written once, scored by all
    if options.start == "sft" and trained:
        train += _tokens(data.training_rows(START_SEED, start_perturbations(options))) * options.epochs
    return Work(train, evaluate)


def measured_draws(trials: Sequence[Trial]) -> list[tuple[int, Perturbations]]:
    """Seed and perturbations of each set of training rows that the reference is measured on; noise makes no new one."""
    first = [trial for trial in trials if trial.lr is not None and trial.round == 1]
    needing = [trial for trial in first if "reference" in losses.get(trial.loss).needs]
    return list(dict.fromkeys((trial.training_seed, trial.perturbations.clean) for trial in needing))


def _tokens(rows: Sequence[Row]) -> int:
    return sum(map(row_tokens, rows))


def seconds(amount: Work, rates: Rates) -> float:
    """The time of some work."""
    return amount.train * rates.train + amount.evaluate * rates.evaluate


def assumed_rates(parameters: int, device: str, precision: str, tflops: float | None = None) -> Rates:
    """Rates from the number of parameters and a matrix rate (`tflops`, else this machine's), without the model.

    6 operations a parameter and token in a step, 2 in an evaluation (arXiv:2001.08361, section 2.1).
    """
    if tflops is not None:
        training = fp32 = tflops * 1e12
    else:
        training = _matrix_rate(device, torch.bfloat16 if precision == "bf16" else torch.float32)
        fp32 = _matrix_rate(device, torch.float32)
    return Rates(6 * parameters / (training * ASSUMED_EFFICIENCY), 2 * parameters / (fp32 * ASSUMED_EFFICIENCY))


def _matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Operations a second of a matrix product of a small model's shape."""
    a = torch.randn(1024, 576, device=device).to(dtype)
    b = torch.randn(1536, 576, device=device).to(dtype)
    product(a, b).sum().item()
    began, runs = time.perf_counter(), 0
    while time.perf_counter() - began < 0.2:
        product(a, b)[0, 0].item()
        runs += 1
    return runs * 2 * 1024 * 576 * 1536 / (time.perf_counter() - began)
