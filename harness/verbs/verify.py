"""`verify`: are stored cells what they say, and does one of them come out the same again?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.digests import digest
from harness.errors import UsageError
from harness.options.cards import kinds
from harness.options.evaluate import evaluate_kinds
from harness.options.words import SCALAR, split
from harness.progress import Progress, on_stream, printable
from harness.verbs.find_cell import find_cell
from results.cells import store
from results.cells.verify import REMOVE, Finding, cell_folders
from results.cells.verify import verify as verify_results


def verify(argv: Sequence[str], progress: Progress) -> int:
    """Verifies what the words name and prints a line for each finding; the exit code (1 with findings).

    Raises: UsageError for words that cannot be used, FileNotFoundError where there is no cell.
    """
    words = split(argv, {**kinds(), **evaluate_kinds(), "rerun": SCALAR})
    cell = words.values.pop("rerun", None)
    changed = [word for word in argv if "=" in word and not word.startswith("rerun=")]
    errors = list(words.errors)
    if len(words.bare) > 1:
        errors.append(f"verify takes one path at most, seen {' '.join(words.bare)!r}; for example: verify runs")
    if changed and cell is None:
        errors.append(f"{changed[0]!r} changes a command that is repeated; add rerun=CELL, or leave it out")
    if errors:
        raise UsageError(errors)
    root = Path(words.bare[0] if words.bare else "runs").expanduser()
    found = verify_results(root)
    findings = [*found.findings, *_misnamed(root)]
    notes = list(found.notes)
    if cell is not None:
        from harness.verbs.rerun import rerun

        retrained = rerun(find_cell(cell, root), changed, progress)
        findings += retrained.findings
        notes += retrained.notes
    _show(findings, notes)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(found.cells.items()))
    said = f"{len(findings)} findings" if len(findings) != 1 else "1 finding"
    sys.stdout.write(f"{sum(found.cells.values())} cells verified in {printable(str(root))} ({counts}): {said}\n")
    return 1 if findings else 0


def _show(findings: Sequence[Finding], notes: Sequence[str]) -> None:
    for finding in findings:
        sys.stdout.write(printable(f"{finding.where}: {finding.what}; {finding.remedy}") + "\n")
    for note in notes:
        sys.stdout.write(printable(f"note: {note}") + "\n")


def _misnamed(root: Path) -> Iterator[Finding]:
    """Cells whose name is not the digest of the identity that they hold."""
    for folder in cell_folders(root):
        try:
            cell, row = json.loads((folder / store.CELL).read_text(encoding="utf-8")), store.read_row(folder)
        except (OSError, ValueError):
            continue  # said by the look at the files
        if digest(cell) != row.get("cell"):
            what = f"is the identity of cell {digest(cell)}, not of {row.get('cell')}"
            yield Finding(folder / store.CELL, what, REMOVE)


def main(argv: Sequence[str]) -> int:
    """Holds stored cells to their files and tables; the exit code. Raises: UsageError, SuiteError."""
    try:
        with on_stream(sys.stderr) as progress:
            return verify(argv, progress)
    except FileNotFoundError as error:
        raise UsageError([str(error)]) from None
