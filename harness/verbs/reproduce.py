"""The verb `reproduce`: one recipe, all that this machine can do, or the list; as text or as Markdown.

Exit codes: 0 everything matches, 1 a mismatch, 2 the recipe lacks something (said on stderr).
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import UsageError
from harness.options.parsers import Choice, Several, Text, WholeNumber, unknown
from harness.options.words import LIST, SCALAR, Words, split
from harness.progress import Progress, on_stream
from harness.reproduce.catalogue import GROUPS, Recipe, recipes
from harness.reproduce.frame import MISMATCH, Check, Request
from harness.text_tables import table
from suites import SuiteError

KEYS = {"rows": LIST, "path": SCALAR, "out": SCALAR, "format": SCALAR, "model": SCALAR, "seeds": LIST, "groups": LIST}
PARSERS: dict[str, Callable[[object], object]] = {
    "rows": Several(Text()),
    "path": Text(),
    "out": Text(),
    "format": Choice(("text", "markdown")),
    "model": Text(),
    "seeds": Several(WholeNumber(0, 2**31 - 1)),
    "groups": Several(WholeNumber(1, max(GROUPS))),
}
MEASURED_HERE = 3  # the group whose figures depend on training runs of this machine
RUN_BY_ALL = (1, MEASURED_HERE)  # what needs neither a file nor a GPU
Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def main(argv: Sequence[str]) -> int:
    """Carry out the words after `reproduce`; the exit code. Raises: UsageError with every problem."""
    words = split(argv, KEYS, dotted=False)
    values = _values(words)
    names = list(recipes())
    if len(words.bare) != 1:
        seen = f", seen {' '.join(words.bare)!r}" if words.bare else ""
        raise UsageError([f"reproduce takes one name, `all` or `list`{seen}. Known: {', '.join(names)}."])
    name = words.bare[0]
    if name not in (*names, "all", "list"):
        raise UsageError([unknown("recipe", name, [*names, "all", "list"])])
    if "groups" in values and name != "all":
        raise UsageError([f"groups= chooses among all; it does nothing for `reproduce {name}`"])
    if "rows" in values and name in recipes() and not recipes()[name].takes_rows:
        raise UsageError([f"rows= does nothing for {name}: all its rows are read from the same trained cells"])
    if name == "all" and (refused := sorted({"rows", "path"} & values.keys())):
        raise UsageError([f"{key}= belongs to one recipe; name it instead of `all`" for key in refused])
    tabulate = markdown_table if values.get("format") == "markdown" else table
    if name == "list":
        sys.stdout.write(listing(tabulate))
        return 0
    with on_stream(sys.stderr) as progress:
        request = _request(values, progress)
        if name != "all":
            return _run(recipes()[name], request, tabulate)
        return _run_all(request, values.get("groups", tuple(GROUPS)), tabulate)


def listing(tabulate: Table) -> str:
    """Every recipe with its group, what it needs, and how long it takes."""
    headings = ("recipe", "group", "time", "needs", "published in", "what it shows")
    rows = [(r.name, str(r.group), r.time, r.needs, r.paper, r.what) for r in recipes().values()]
    legend = "; ".join(f"{number} {meaning}" for number, meaning in GROUPS.items())
    return f"{tabulate(headings, rows)}\nGroups: {legend}.\n"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same cells as a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _values(words: Words) -> dict[str, object]:
    """The typed values of all keys. Raises: UsageError with every problem."""
    errors = list(words.errors)
    values = {}
    for key, text in words.values.items():
        try:
            values[key] = PARSERS[key](text)
        except ValueError as error:
            errors.append(f"{key}: {error}")
    if errors:
        raise UsageError(errors)
    return values


def _request(values: dict[str, object], progress: Progress) -> Request:
    request = Request(progress, **{key: values[key] for key in ("rows", "model", "seeds") if key in values})
    places = {key: Path(str(values[key])).expanduser() for key in ("path", "out") if key in values}
    return replace(request, **places)


def _run_all(request: Request, groups: Sequence[int], tabulate: Table) -> int:
    """Everything that needs neither a file nor a GPU; of the rest what it needs."""
    worst, lacking = 0, []
    for recipe in recipes().values():
        if recipe.group not in groups:
            continue
        if recipe.group not in RUN_BY_ALL:
            lacking.append((recipe.name, recipe.needs))
            continue
        try:
            worst = max(worst, _run(recipe, request, tabulate))
        except (UsageError, SuiteError) as error:
            lacking.append((recipe.name, str(error).replace("\n", " ")))
    if lacking:
        sys.stdout.write(f"Not run, for what they need:\n\n{tabulate(('recipe', 'needs'), lacking)}")
    return worst


def _run(recipe: Recipe, request: Request, tabulate: Table) -> int:
    """One recipe: its table, the count of verdicts, its exit code."""
    began = time.perf_counter()
    checks = _chosen(recipe, recipe.run(request), request.rows)
    headings = ("row", "quantity", "published", "ours", "allowed", "verdict", "note")
    rows = [(c.row, c.quantity, c.published, _ours(c), c.allowed, c.verdict, c.note) for c in checks]
    verdicts = Counter(check.verdict for check in checks)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    seconds = time.perf_counter() - began
    where = f" on {_machine()}" if recipe.group == MEASURED_HERE else ""
    sys.stdout.write(
        f"{'## ' if tabulate is markdown_table else ''}{recipe.name}: {recipe.what} ({recipe.paper})\n\n"
        f"{tabulate(headings, rows)}\n{recipe.name}: {counted}; {seconds:.1f} s{where}\n\n"
    )
    sys.stdout.flush()
    return int(MISMATCH in verdicts)


def _machine() -> str:
    """What trained the cells of this command, or read them where they were finished before."""
    import torch

    from harness.compute.machine import cpu_name

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu_name()
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _chosen(recipe: Recipe, checks: list[Check], rows: Sequence[str]) -> list[Check]:
    """The checks of the rows asked for, by a row's name or its first word.

    Raises: UsageError naming the nearest row of one that does not exist.
    """
    known = list(dict.fromkeys(name for check in checks for name in (check.row, _first_word(check.row))))
    if unnamed := [row for row in rows if row not in known]:
        raise UsageError([unknown(f"row of {recipe.name}", row, known) for row in unnamed])
    return [check for check in checks if not rows or check.row in rows or _first_word(check.row) in rows]


def _first_word(row: str) -> str:
    return row.split()[0].rstrip(",")


def _ours(check: Check) -> str:
    """What was computed, with its interval where it has one."""
    if math.isnan(check.low):
        return f"{check.ours:.4g}"
    return f"{check.ours:.3g} ({check.low:.3g} to {check.high:.3g})"
