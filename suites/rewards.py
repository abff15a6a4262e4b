"""Known rewards by name: known functions that say how good a completion is, where a suite has one.

Such a reward is the truth of its experiment: it labels the pairs of a sampled suite, and it says what training
on them has gained. A reward is an object with `id`, a digest of all that decides its values, and
`score(prompts, completions)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

from suites.pair import SuiteError
from suites.registry import did_you_mean


class Reward(Protocol):
    """A number for each completion, higher is better, in the reward's own unit."""

    id: str

    def score(self, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        """The rewards of completions [N] to prompts [N], each prompt as its last user message."""


_makers: dict[str, Callable[[], Reward]] = {}


def register_reward(name: str) -> Callable[[Callable[[], Reward]], Callable[[], Reward]]:
    """Decorate a function without arguments that makes the reward; it is called once, at first use.

    Raises: ValueError for a taken name.
    """

    def decorate(make: Callable[[], Reward]) -> Callable[[], Reward]:
        if name in _makers:
            raise ValueError(f"a reward {name!r} is already registered; choose another name")
        _makers[name] = make
        return make

    return decorate


@cache
def get(name: str) -> Reward:
    """The reward of this name, made at its first use in the process.

    Raises: SuiteError for an unknown name, with the nearest and the known ones.
    """
    if name not in _makers:
        known = ", ".join(names()) or "none"
        raise SuiteError(f"no known reward {name!r}{did_you_mean(name, _makers)} Known: {known}")
    return _makers[name]()


def names() -> tuple[str, ...]:
    """All registered rewards, sorted."""
    return tuple(sorted(_makers))
