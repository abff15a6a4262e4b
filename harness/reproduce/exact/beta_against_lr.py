"""`beta-against-lr`: is halving beta like doubling the learning rate? Exponents of both in dpo's early margin.

A rule of tutorials. From policy == reference the margin h after a few steps follows lr^p * beta^q. The gradient of
dpo there is -beta/2 along h, so plain gradient descent has p = q = 1: halving beta halves the step. AdamW divides the
gradient by its own size, so p = 1 and q = 0: beta does not act. The rule wants q = -p, and neither gives it. One pair
of actions; exponents are fitted by least squares over all combinations.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import torch

import losses
from harness.reproduce.exact.batches import function, one_thread, sequence
from harness.reproduce.frame import Check, Request, bound
from results.inference.exponents import fit

RATES = (1e-4, 3e-4, 1e-3)
BETAS = (0.05, 0.1, 0.2, 0.5)
STEPS = 10
NEAR = 0.05  # of an exponent
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}


def reproduce(request: Request) -> list[Check]:
    """Both exponents under both optimizers, and the rule q = -p."""
    checks = []
    with one_thread():
        for name, wanted in (("sgd", 1.0), ("adamw", 0.0)):
            settings = np.array(list(product(RATES, BETAS)))
            found = fit(*settings.T, np.array([margin(name, *setting) for setting in settings.tolist()]))
            checks += [
                bound(name, "exponent of lr", "1", found.lr.value, low=1 - NEAR, high=1 + NEAR),
                bound(
                    name,
                    "exponent of beta",
                    f"{wanted:g} in theory",
                    found.beta.value,
                    low=wanted - NEAR,
                    high=wanted + NEAR,
                    note=f"fit within {found.error:.1%}",
                ),
                bound(
                    name,
                    "sum of both",
                    "0, by the rule",
                    found.sum.value,
                    low=0.5,
                    erratum=True,
                    note="halving beta is not like doubling lr",
                ),
            ]
    return checks


def margin(optimizer: str, lr: float, beta: float) -> float:
    """h in nats after STEPS steps of the registered dpo on one pair of actions, from policy == reference."""
    reference = torch.zeros(2, dtype=torch.float64).log_softmax(0)
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    stepper = OPTIMIZERS[optimizer]([logits], lr=lr, weight_decay=0.0)
    sides = [sequence(reference[action : action + 1]) for action in (0, 1)]
    for _ in range(STEPS):
        log_probs = logits.log_softmax(0)
        pair = losses.PairBatch(sequence(log_probs[:1]), sequence(log_probs[1:]), *sides)
        stepper.zero_grad()
        function("dpo")(pair, beta=beta).sum().backward()
        stepper.step()
    return (logits[0] - logits[1]).item()
