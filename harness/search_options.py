"""The options of search and claim among each other: presets, what they need, and how they are read. No heavy import."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.options import Options

TRIALS, CLAIM_SEEDS = 6, 3  # of each loss, where search= is given and they are not
OF_SEARCH = ("trials", "search_seed", "claim_seeds")

# Where the user names a key, the preset leaves it alone; numbers of rows are lowered where the suite has fewer.
BUDGETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"search": "random", "trials": 3, "claim_seeds": (3,), "train_pairs": (128,), "eval_pairs": 128},
    "standard": {"search": "random", "trials": 6, "claim_seeds": (3,), "train_pairs": (512,), "eval_pairs": 256},
    "paper": {"search": "random", "trials": 16, "claim_seeds": (5,), "train_pairs": (2048,), "eval_pairs": 1000},
}
_NUMBERS_OF_ROWS = {"train_pairs", "eval_pairs"}


def with_budget(values: Any) -> Any:
    """The given values, and those of the named preset that are not given."""
    preset = BUDGETS.get(str(values.get("budget"))) if isinstance(values, Mapping) else None
    if not preset:
        return values
    idle = OF_SEARCH if values.get("search") == "none" else ()
    return {key: value for key, value in preset.items() if key not in idle} | dict(values)


def presets_in_words() -> str:
    """What each preset sets, for the list of options."""
    words = {name: " ".join(f"{key}={_typed(value)}" for key, value in own.items()) for name, own in BUDGETS.items()}
    return "; ".join(f"{name}: {told}" for name, told in words.items())


def _typed(value: Any) -> str:
    """A value as the user would type it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def lowered(options: Options, given: set[str]) -> set[str]:
    """The fields that a preset has set and that are lowered, not refused, where a suite has fewer rows."""
    return (_NUMBERS_OF_ROWS & set(BUDGETS.get(options.budget, {}))) - given


def budget_words(options: Options) -> str:
    """What a preset stands for in this command, as it would be typed; empty without one."""
    if options.budget == "none":
        return ""
    return f"budget={options.budget}: " + " ".join(
        f"{key}={_typed(getattr(options, key))}" for key in BUDGETS[options.budget]
    )


def trial_count(options: Options) -> int:
    """Settings that a search tries of each loss."""
    return TRIALS if options.trials is None else options.trials


def claim_seeds(options: Options) -> tuple[int, ...]:
    """The seeds of the claim; one number alone is a count of the smallest seeds that the search does not use."""
    given = options.claim_seeds
    if options.search == "none" or given == ():
        return ()
    if given is None or len(given) == 1:
        fresh = (seed for seed in count() if seed != options.seeds[0])
        return tuple(islice(fresh, CLAIM_SEEDS if given is None else given[0]))
    return given


def problems(options: Options) -> list[str]:
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
