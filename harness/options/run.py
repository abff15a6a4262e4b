"""The options of a run: every key, its type, default and meaning, in one place.

Built from command-line words by `lookup.read_options`, from text by `cards.make`, or in Python:
`Options(suite="hh-rlhf", losses=["dpo"])`. Values are checked here one by one and against each other; whether
a named loss or suite exists is checked in lookup.py, because that needs their packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from harness.options import checks
from harness.options import search as search_options
from harness.options.run_fields import RunFields


class Options(RunFields):
    """Everything a run depends on; frozen, complete, every default filled in, and every value beside the others.

    `model_fields_set` holds the names that were given explicitly.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _budgeted(cls, values: Any, make: Any) -> Options:
        options: Options = make(search_options.with_budget(values))
        if isinstance(values, Mapping):
            options.model_fields_set.difference_update(search_options.lowered(options, set(values)))
        return options

    @model_validator(mode="after")
    def _fits_together(self) -> Options:
        if found := [*search_options.problems(self), *checks.problems(self), *checks.engine_problems(self)]:
            raise ValueError("\n".join(found))
        return self
