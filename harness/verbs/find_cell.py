"""Finding one finished cell by what a user calls it."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from results.cells import store
from results.cells.verify import cell_folders


def find_cell(name: str, root: Path) -> Path:
    """The folder of a cell: its path, its name or id (or the beginning of one) below `root`, or `best`.

    `best` is the finished cell with the highest validation accuracy, baselines and external checkpoints apart.
    Raises: UsageError where there is none, or more than one.
    """
    if name == "best":
        return _best(root)
    if (Path(name) / store.ROW).is_file():
        return Path(name)
    folders = cell_folders(root) if root.is_dir() else []
    found = [f for f in folders if f.name == name] or [f for f in folders if f.name.rpartition("-")[2].startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError([f"cell {name!r} could be {', '.join(f.name for f in found[:5])}; give the whole id"])
    some = ", ".join(f.name for f in folders[:5]) or "none"
    raise UsageError([f"no cell {name!r} in {root}; a cell's folder, or its id; there are: {some}"])


def _best(root: Path) -> Path:
    ranked = []
    for folder in cell_folders(root) if root.is_dir() else []:
        if store.is_done(folder):
            row = store.read_row(folder)
            accuracy = row.get("validation_preference_accuracy")
            if accuracy is not None and not row.get("control") and not row.get("trained_model"):
                ranked.append((accuracy, row.get("protocol"), folder))
    if not ranked:
        raise UsageError([f"no finished cell with a validation accuracy in {root}; name the out= folder of a run"])
    if len({protocol for _, protocol, _ in ranked}) > 1:
        raise UsageError([f"{root} holds several protocols, which are not ranked together; name one cell by its id"])
    return max(ranked, key=lambda entry: entry[0])[2]
