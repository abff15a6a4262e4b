"""The options of search and claim among each other: presets, what they need, and how they are read. No heavy import."""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING

from harness.options.budgets import BUDGETS, NUMBERS_OF_ROWS, OF_SEARCH, typed

if TYPE_CHECKING:
    from harness.options.run_fields import RunFields

TRIALS, CLAIM_SEEDS = 6, 3  # of each loss, where search= is given and they are not


def lowered(options: RunFields, given: set[str]) -> set[str]:
    """The fields that a preset has set and that are lowered, not refused, where a suite has fewer rows."""
    return (NUMBERS_OF_ROWS & set(BUDGETS.get(options.budget, {}))) - given


def budget_words(options: RunFields) -> str:
    """What a preset stands for in this command, as it would be typed; empty without one."""
    if options.budget == "none":
        return ""
    return f"budget={options.budget}: " + " ".join(
        f"{key}={typed(getattr(options, key))}" for key in BUDGETS[options.budget]
    )


def trial_count(options: RunFields) -> int:
    """Settings that a search tries of each loss."""
    return TRIALS if options.trials is None else options.trials


def claim_seeds(options: RunFields) -> tuple[int, ...]:
    """The seeds of the claim; one number alone is a count of the smallest seeds that the search does not use."""
    given = options.claim_seeds
    if options.search == "none" or given == ():
        return ()
    if given is None or len(given) == 1:
        fresh = (seed for seed in count() if seed != options.seeds[0])
        return tuple(islice(fresh, CLAIM_SEEDS if given is None else given[0]))
    return given


def problems(options: RunFields) -> list[str]:
    """A sentence for each thing that does not fit together."""
    if options.search == "none":
        idle = [key for key in OF_SEARCH if getattr(options, key) != type(options).model_fields[key].default]
        meant = "; for several seeds without a search write seeds=1,2,3" if "claim_seeds" in idle else ""
        keys = ", ".join(f"{key}=" for key in idle)
        return [f"{keys} does nothing without a search; add search=random, say{meant}"] if idle else []
    found = []
    for key in ("seeds", "train_pairs", "label_noise", "length_balance", "min_margin"):
        values = getattr(options, key)
        if len(values) > 1:
            name = key if key in ("seeds", "train_pairs") else f"suite.{key}"
            found.append(
                f"search={options.search} tries every setting on one seed and one kind of training rows, seen "
                f"{name}={','.join(str(value).lower() for value in values)}; give {name} one value"
            )
    if options.claim_seeds == (0,):
        found.append("claim_seeds=0 is a count of no seeds; write claim_seeds=none, or give three")
    if options.seeds[0] in claim_seeds(options):
        found.append(
            f"claim_seeds={','.join(map(str, claim_seeds(options)))} contains the seed of the search, "
            f"{options.seeds[0]}; what was selected on a seed proves nothing on it: name other seeds"
        )
    return found
