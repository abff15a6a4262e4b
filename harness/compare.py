"""`compare`: what the finished runs of a folder allow to say about their losses."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import reports
import results
from harness.options import UsageError
from harness.values import unknown
from harness.words import LIST, SCALAR, split

KEYS = {"loss": LIST, "against": SCALAR, "metric": SCALAR}


def compare(words: Sequence[str], warn: Callable[[str], None]) -> str:
    """The table for the words after `compare`: a folder (default runs), loss=, against=, metric=.

    `warn` gets what was left out. Raises: UsageError for words that are not understood, a folder without runs, an
    unknown metric, or nothing to compare.
    """
    found = split(words, KEYS)
    errors = list(found.errors)
    strange = [*found.suite_settings, *found.loss_settings]
    if len(found.bare) > 1 or strange:
        errors.append(f"compare takes one path and {', '.join(f'{key}=' for key in KEYS)}, seen {' '.join(words)}; for "
                      "example: compare runs/hh-rlhf loss=dpo,ipo")  # fmt: skip
    metric = found.values.get("metric", "preference_accuracy")
    if metric not in results.metrics.METRICS:
        errors.append(unknown("metric", metric, results.metrics.METRICS))
    if errors:
        raise UsageError(errors)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            frame = results.compare(
                Path(found.bare[0] if found.bare else "runs").expanduser(), metric=metric,
                losses=found.values.get("loss"), against=found.values.get("against"),
            )  # fmt: skip
        except (FileNotFoundError, ValueError) as error:
            raise UsageError([str(error)]) from error
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        warn(message)
    return reports.comparison(frame)
