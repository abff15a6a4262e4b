"""`report`: the report of finished cells, written again, with tables and figures as files where they are asked for."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import reports
from harness.errors import UsageError
from harness.options.parsers import unknown
from harness.options.words import LIST, split

KEYS = {"tables": LIST, "figures": LIST, "metrics": LIST}


def report(argv: Sequence[str], warn: Callable[[str], None]) -> str:
    """Writes the files and returns what to print: the table for a terminal, then the paths.

    The words are a folder (default runs), tables=, figures= and metrics= (the measures of those tables).
    Raises: UsageError for words that are not understood, a folder that is not there or holds no cell.
    """
    found = split(argv, KEYS, dotted=False)
    given = {key: found.values.get(key, ()) for key in KEYS}
    folder = Path(found.bare[0] if found.bare else "runs").expanduser()
    errors = [*found.errors, *wrong(given)]
    if len(found.bare) > 1 or str(folder).startswith("-"):
        errors.append(
            f"report takes one path and {', '.join(f'{key}=' for key in KEYS)}, seen {' '.join(argv)}; for "
            "example: report runs/hh-rlhf tables=latex"
        )
    elif not folder.is_dir():
        errors.append(f"no such folder: {folder}; name the folder that a run wrote (out=, default runs)")
    if errors:
        raise UsageError(errors)
    import results

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            runs = results.read(folder)
        except FileNotFoundError as error:
            raise UsageError([str(error)]) from error
        written = reports.write(folder, runs, **given)
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        warn(message)
    return "\n".join([reports.terminal(runs, folder=folder), *map(str, written.values())])


def wrong(given: Mapping[str, Sequence[str]]) -> list[str]:
    """What is unknown among the asked forms and metrics, in sentences; keys that were not given may be absent."""
    from results.schema.row import ROW_COLUMNS

    numbers = tuple(column.name for column in ROW_COLUMNS if column.dtype in ("float64", "Int64"))
    allowed = {"tables": tuple(reports.TABLES), "figures": reports.FIGURES, "metrics": numbers}
    problems = [
        unknown(key.removesuffix("s"), name, allowed[key])
        for key in KEYS
        for name in given.get(key, ())
        if name not in allowed[key]
    ]
    if given.get("metrics") and not given.get("tables"):
        problems.append("metrics= chooses the columns of tables=, but no table is asked for; add tables=latex, say")
    return problems


def main(argv: Sequence[str]) -> int:
    """Writes the report of a folder of results and prints its table; the exit code. Raises: UsageError."""
    print(report(argv, warn=lambda text: print(f"warning: {text}", file=sys.stderr)))
    return 0
