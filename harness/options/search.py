"""The options of search and confirmation together: presets, what they need, how they are read. No heavy import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, islice
from typing import Any

from harness.options.budgets import BUDGETS, NUMBERS_OF_ROWS, typed
from harness.options.fields import Scope, cards_of, fields_in, is_changed
from harness.options.run_fields import RunFields
from harness.options.words import AXIS

TRIALS, CLAIM_SEEDS = 6, 3  # of each loss, where search= is given and they are not
OF_SEARCH = fields_in(RunFields, Scope.SEARCH)
_SEARCHED = ("losses", "betas", "lrs")  # axes whose values a search tries; of each other one it wants one value


def with_budget(values: Any) -> Any:
    """The given values, and those of the named preset that are not given."""
    preset = BUDGETS.get(str(values.get("budget"))) if isinstance(values, Mapping) else None
    if not preset:
        return values
    idle = OF_SEARCH if values.get("search") == "none" else ()
    return {key: value for key, value in preset.items() if key not in idle} | dict(values)


def lowered(options: RunFields, given: set[str]) -> set[str]:
    """The fields that a preset has set and that are lowered, not refused, where a suite has fewer rows."""
    return (NUMBERS_OF_ROWS & set(BUDGETS.get(options.budget, {}))) - given


def describe_budget(options: RunFields) -> str:
    """What a preset stands for in this command, as it would be typed; empty without one."""
    if options.budget == "none":
        return ""
    return f"budget={options.budget}: " + " ".join(
        f"{key}={typed(getattr(options, key))}" for key in BUDGETS[options.budget]
    )


def trial_count(options: RunFields) -> int:
    """Settings that a search tries of each loss."""
    return TRIALS if options.trials is None else options.trials


def confirmation_seeds(options: RunFields) -> tuple[int, ...]:
    """The confirmation seeds; one number alone is a count of the smallest seeds that the search does not use."""
    given = options.claim_seeds
    if options.search == "none" or given == ():
        return ()
    if given is None or len(given) == 1:
        fresh = (seed for seed in count() if seed != options.seeds[0])
        return tuple(islice(fresh, CLAIM_SEEDS if given is None else given[0]))
    return given


def problems(options: RunFields) -> list[str]:
    """A sentence for each thing that does not fit together."""
    return _idle(options) if options.search == "none" else [*_wide_axes(options), *_of_confirmation(options)]


def _idle(options: RunFields) -> list[str]:
    """What is set for a search, where there is none."""
    idle = [key for key in OF_SEARCH if is_changed(options, key)]
    meant = "; for several seeds without a search write seeds=1,2,3" if "claim_seeds" in idle else ""
    keys = ", ".join(f"{key}=" for key in idle)
    return [f"{keys} does nothing without a search; add search=random, say{meant}"] if idle else []


def _wide_axes(options: RunFields) -> Iterator[str]:
    """Axes of several values that a search would have to multiply with each of its own."""
    axes = [card for card in cards_of(RunFields) if card.kind == AXIS and card.field not in _SEARCHED]
    for name, values in ((card.name, getattr(options, card.field)) for card in axes):
        if len(values) > 1:
            yield (
                f"search={options.search} tries every setting on one seed and one kind of training rows, seen "
                f"{name}={','.join(str(value).lower() for value in values)}; give {name} one value"
            )


def _of_confirmation(options: RunFields) -> Iterator[str]:
    """Seeds that cannot confirm what the search selects."""
    if options.claim_seeds == (0,):
        yield "claim_seeds=0 is a count of no seeds; write claim_seeds=none, or give three"
    if options.seeds[0] in confirmation_seeds(options):
        yield (
            f"claim_seeds={','.join(map(str, confirmation_seeds(options)))} contains the seed of the search, "
            f"{options.seeds[0]}; what was selected on a seed proves nothing on it: name other seeds"
        )
