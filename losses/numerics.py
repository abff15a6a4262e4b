"""Exponentials of log-probs that cannot overflow: shared by the losses that leave log space."""

import difflib
import math
from collections.abc import Iterable

import torch
from torch import Tensor

# exp(30) = 1e13. From here on the tangent takes over, so an argument of 2000 gives 2e16, and gradients and
# their squared norm over a model stay far from the 3e38 where float32 ends. A trained pair is nowhere near.
TANGENT_FROM = 30.0


def exp_or_tangent(x: Tensor) -> Tensor:
    """exp(x) up to x = TANGENT_FROM, and its tangent at that point beyond; nats [...] of any shape.

    A clamp would do for the value, but has no slope: exactly the pairs that went most wrong would stop
    learning. The tangent keeps value and slope finite, continuous and growing.
    """
    inside = x.clamp(max=TANGENT_FROM)
    return torch.exp(inside) * (1.0 + x - inside)


def is_finite_number(value: object) -> bool:
    """True for an int or float that is neither NaN, infinite, nor a bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def nearest(word: str, known: Iterable[str]) -> str:
    """ "did you mean 'dpo'? ", or nothing where no known word is close."""
    written = {name.lower(): name for name in known}
    word = word.lower()
    # Swapped letters first: to difflib, "dop" is nearer to "dpop" than to "dpo".
    swapped = [name for name in written if sorted(name) == sorted(word)]
    close = swapped or difflib.get_close_matches(word, written, n=1)
    return f"did you mean {written[close[0]]!r}? " if close else ""
