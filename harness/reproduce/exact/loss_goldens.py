"""`loss-goldens`: worked values of the losses, on completions of several tokens, so that sums and means differ.

The rows of the table name the case; each is built here from summed log-probs (nats) and numbers of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from harness.reproduce.exact.batches import Values, on_example, on_pair
from harness.reproduce.frame import Check, Request, number
from results.literature.tables import table

TOLERANCE = 5e-4
AT_REFERENCE = ((-20.0, -31.0), (-20.0, -31.0))
Case = Callable[[], Mapping[str, float]]


def reproduce(request: Request) -> list[Check]:
    """Every worked value, computed by the registered loss."""
    return [
        number(row, name, value, CASES[row]()[name], TOLERANCE, NOTES.get(row, ""))
        for row, printed in table("loss_goldens").items()
        for name, value in printed.items()
    ]


def _weighted(found: Values, beta: float) -> dict[str, float]:
    """A DPO-like loss and the weight of its gradient: -dL/dc over beta."""
    return {"loss": found.loss, "gradient_weight": -found.chosen_gradient / beta}


def _loss(*of_pair: object, **settings: object) -> dict[str, float]:
    return {"loss": on_pair(*of_pair, **settings).loss}


def _kto_at_reference() -> dict[str, float]:
    """The mean over one wanted and one unwanted completion: balanced data, unit weights."""
    values = [on_example("kto", 0.0, is_desirable=wanted, kl=0.0, beta=0.1) for wanted in (True, False)]
    return {"loss": sum(values) / 2}


def _orpo() -> dict[str, float]:
    """Mean log-probs -0.5 and -1.0: the odds term without its weight, and the log odds ratio behind it.

    From two weights: the difference of the losses is the odds term, because the likelihood term has none.
    """
    low, high = (on_pair("orpo", (-3.5, -10.0), beta=beta).loss for beta in (1.0, 2.0))
    term = high - low
    return {"odds_term": term, "log_odds": -math.log(math.expm1(term))}


# Margins of 7 nats from unequal log-ratios: 4 and -3 summed; for means 8 nats over 2 tokens against -9 over 3.
CASES: Mapping[str, Case] = {
    "dpo, h=7, beta=0.1": lambda: _weighted(on_pair("dpo", (-16, -34), (-20, -31), beta=0.1), 0.1),
    "dpo at the reference": lambda: _weighted(on_pair("dpo", *AT_REFERENCE, beta=0.1), 0.1),
    "ipo_sum, h=7, beta=0.1": lambda: _loss("ipo_sum", (-16, -34), (-20, -31), beta=0.1),
    "ipo_sum at the reference": lambda: _loss("ipo_sum", *AT_REFERENCE, beta=0.1),
    "ipo, mean margin 7, beta=0.1": lambda: _loss("ipo", (-12, -40), (-20, -31), (2, 3), beta=0.1),
    "ipo at the reference": lambda: _loss("ipo", *AT_REFERENCE, beta=0.1),
    "kto, desirable 2, z=0.5, beta=0.1": lambda: {"loss": on_example("kto", 2.0, is_desirable=True, kl=0.5, beta=0.1)},
    "kto, undesirable -3, z=0.5, beta=0.1": lambda: {
        "loss": on_example("kto", -3.0, is_desirable=False, kl=0.5, beta=0.1)
    },
    "kto at the reference": _kto_at_reference,
    "simpo, means -1.0 and -1.2, beta=2.5, gamma=1.4": lambda: _loss(
        "simpo", (-7.0, -12.0), beta=2.5, gamma_beta_ratio=1.4 / 2.5
    ),
    "orpo, means -0.5 and -1.0": _orpo,
    "cdpo at the reference": lambda: _loss("cdpo", *AT_REFERENCE, beta=0.1),
    "hinge at the reference": lambda: _loss("hinge", *AT_REFERENCE, beta=0.1),
}
NOTES = {
    "ipo, mean margin 7, beta=0.1": "the paper's sums would give 144 on the same pair",
    "ipo_sum, h=7, beta=0.1": "means per token would give about 17 on the same pair",
}
