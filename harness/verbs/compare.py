"""`compare`: what the finished runs of a folder allow to say about their losses."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import reports
import results
from harness.errors import UsageError
from harness.options.parsers import unknown
from harness.options.words import LIST, SCALAR, split
from results.inference.two_folders import field_differences

KEYS = {"loss": LIST, "against": SCALAR, "metric": SCALAR, "search": SCALAR}


def compare(argv: Sequence[str], warn: Callable[[str], None]) -> str:
    """The table for the words after `compare`: a folder (default runs) or two, loss=, against=, metric=, search=.

    `warn` gets what was left out. Raises: UsageError for words that are not understood, a folder without runs, an
    unknown metric, or nothing to compare.
    """
    comparison = _read(argv)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            if len(comparison.places) > 1:
                return _across(comparison.places, comparison.given, warn)
            return reports.comparison(results.compare(comparison.places[0], **comparison.given))
        except UsageError:
            raise
        except (FileNotFoundError, ValueError) as error:
            raise UsageError([str(error)]) from error
        finally:  # what was left out may be why there is nothing to compare
            for message in dict.fromkeys(str(warning.message) for warning in caught):
                warn(message)


class _Comparison(NamedTuple):
    """The folders to compare, and the arguments of `results.compare`."""

    places: list[Path]
    given: dict[str, Any]


def _read(argv: Sequence[str]) -> _Comparison:
    """What the words ask for. Raises: UsageError with every problem."""
    found = split(argv, KEYS, dotted=False)
    errors = list(found.errors)
    if len(found.bare) > 2:
        keys = ", ".join(f"{key}=" for key in KEYS)
        errors.append(
            f"compare takes one path or two and {keys}, seen {' '.join(argv)}; for example: compare "
            "runs/hh-rlhf loss=dpo,ipo"
        )
    metric = found.values.get("metric", "preference_accuracy")
    if metric not in results.metrics.METRICS:
        errors.append(unknown("metric", metric, results.metrics.METRICS))
    if errors:
        raise UsageError(errors)
    given = {
        "metric": metric,
        "losses": found.values.get("loss"),
        "against": found.values.get("against"),
        "search": found.values.get("search"),
    }
    return _Comparison([Path(word).expanduser() for word in found.bare or ["runs"]], given)


def _across(places: Sequence[Path], given: Mapping[str, Any], warn: Callable[[str], None]) -> str:
    """The cells that two folders share, and the verdicts over both; where no protocol is shared, the reason.

    Raises: UsageError naming the fields in which the protocols differ; ValueError, FileNotFoundError.
    """
    protocols = [set(results.read(place)["protocol"].dropna()) for place in places]
    if not protocols[0] & protocols[1]:
        raise UsageError([f"not ranked together: {line}" for line in field_differences(*places)])
    for pair in (places, places[::-1]):
        for line in field_differences(*pair):
            warn(f"ranked apart: {line}")
    shared = results.across(*places, given["metric"])
    parts = [reports.across(shared, *map(str, places))] if len(shared) else []
    try:
        parts.append(reports.comparison(results.compare(places, **given)))
    except ValueError as error:
        if not parts:
            raise
        warn(str(error))
    return "\n\n\n".join(parts)


def main(argv: Sequence[str]) -> int:
    """Prints the verdicts on pairs of settings; the exit code. Raises: UsageError."""
    print(compare(argv, warn=lambda text: print(f"warning: {text}", file=sys.stderr)))
    return 0
