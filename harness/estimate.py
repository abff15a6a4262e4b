"""How long a sweep will take and how much memory a cell needs, before it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch

import losses
from harness.data import Data
from harness.gradient import row_tokens
from harness.grid import Trial
from harness.identity import START_SEED
from harness.options import Options
from harness.tokens import Row

# Share of the matrix rate that a step reaches: measured around one third on small models, where
# attention, elementwise work and copies are most of the rest.
ASSUMED_EFFICIENCY = 0.33
BYTES_FP32 = 4


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
    train, evaluate = 0, held_out if trials else 0
    for trial in trained:
        tokens = _tokens(data.training_rows(trial.seed)) * options.epochs
        needs = losses.get(trial.loss).needs
        # A mismatched answer is one forward of about a row, a third of a step.
        train += tokens + (tokens // 3 if "mismatched" in needs else 0)
        evaluate += held_out * options.evals
    for seed in {trial.seed for trial in trained if "reference" in losses.get(trial.loss).needs}:
        train += _tokens(data.training_rows(seed)) // 3
    if options.start == "sft" and trained:
        train += _tokens(data.training_rows(START_SEED)) * options.epochs
    return Work(train, evaluate)


def _tokens(rows: Sequence[Row]) -> int:
    return sum(map(row_tokens, rows))


def seconds(amount: Work, rates: Rates) -> float:
    """The time of some work."""
    return amount.train * rates.train + amount.evaluate * rates.evaluate


def assumed_rates(parameters: int, device: str, precision: str) -> Rates:
    """Rates from the number of parameters and this machine's matrix rate, without loading the model.

    6 operations a parameter and token in a step, 2 in an evaluation (arXiv:2001.08361, section 2.1).
    """
    training = _matrix_rate(device, torch.bfloat16 if precision == "bf16" else torch.float32)
    fp32 = _matrix_rate(device, torch.float32)
    return Rates(
        6 * parameters / (training * ASSUMED_EFFICIENCY), 2 * parameters / (fp32 * ASSUMED_EFFICIENCY)
    )


def _matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Operations a second of a matrix product of a small model's shape."""
    a = torch.randn(1024, 576, device=device).to(dtype)
    b = torch.randn(576, 1536, device=device).to(dtype)
    (a @ b).sum().item()
    began, runs = time.perf_counter(), 0
    while time.perf_counter() - began < 0.2:
        (a @ b)[0, 0].item()
        runs += 1
    return runs * 2 * 1024 * 576 * 1536 / (time.perf_counter() - began)


def memory_bytes(options: Options, parameters: int) -> int:
    """What a cell holds at least: fp32 weights, the start's copy, gradients and AdamW's two moments.

    Activations come on top; they follow from the micro-batch.
    """
    if options.tuning == "full":
        return 5 * BYTES_FP32 * parameters
    # Adapters are small beside the weights that they are put on.
    return BYTES_FP32 * parameters
