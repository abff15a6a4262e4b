"""What the hyper-parameters of losses may be: known names, finite numbers, within the limits of their meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from losses.numerics import is_finite_number, nearest

if TYPE_CHECKING:
    from losses.registry import Loss


class Limit(NamedTuple):
    """What a hyper-parameter may be, as a test and in words."""

    holds: Callable[[float], bool]
    allowed: str


# By name, because a name means the same in every loss; in a weighted sum it ends in it (`dpo_beta`).
LIMITS = {
    "beta": Limit(lambda value: value > 0, "a number above 0"),
    "tau": Limit(lambda value: value > 0, "a number above 0"),
    "label_smoothing": Limit(lambda value: 0 <= value < 0.5, "a share of wrong labels, from 0 to below 0.5"),
    "desirable_weight": Limit(lambda value: value >= 0, "a number of at least 0"),
    "undesirable_weight": Limit(lambda value: value >= 0, "a number of at least 0"),
}


def check_hyperparameters(loss: Loss, given: Mapping[str, float]) -> dict[str, float]:
    """All hyper-parameters of `loss`, the given values over its defaults, as floats.

    Raises: ValueError for a hyper-parameter that the loss does not have, a value that is not a finite
    number, or one outside `LIMITS`; all problems at once.
    """
    known = ", ".join(loss.defaults) or "none"
    problems = [
        f"loss {loss.name!r} has no hyper-parameter {key!r}; {nearest(key, loss.defaults)}It has: {known}."
        for key in given
        if key not in loss.defaults
    ]
    problems += [
        f"{loss.name}.{key} is {value!r}, allowed: a finite number."
        for key, value in given.items()
        if not is_finite_number(value)
    ]
    problems += [
        f"{loss.name}.{key} is {value!r}, allowed: {limit.allowed}."
        for key, value in given.items()
        for name, limit in LIMITS.items()
        if (key == name or key.endswith(f"_{name}")) and is_finite_number(value) and not limit.holds(value)
    ]
    if problems:
        raise ValueError(" ".join(problems))
    return {key: float(given.get(key, default)) for key, default in loss.defaults.items()}
