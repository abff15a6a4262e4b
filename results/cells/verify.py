"""Whether stored cells are what they say: files against digests, rows against the tables that they follow from.

Everything here reads and nothing writes. What a row says of its cell (loss, settings, metrics, cost of training)
is held to cell.json, pairs.parquet and curve.parquet; what only the machine knew (memory, device, commit) has no
second source and is compared between rows.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from results.cells import store
from results.cells.frames import check_types, read_parquet
from results.cells.lock import CLAIM, holder
from results.schema.row import CURVE_COLUMNS, PAIR_COLUMNS, ROW_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-9
"""Relative; another version of numpy or scipy may add in another order."""

AGAIN = "run the command again: the cell is then made anew"
REMOVE = "if nobody edited it on purpose, delete row.json and run the command again"

_CELL_NAME = re.compile(r"-[0-9a-f]{12}$")
_OWN_FOLDERS = (store.MODEL, store.CHECKPOINTS, store.NEXT_ROUND)
_IN_BOTH = ("loss", "lr", "seed")
"""Columns of a row that its cell.json holds under the same name."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be: in which file or folder, what, and what to do."""

    where: Path
    what: str
    remedy: str


class Verified(NamedTuple):
    """status -> number of cells; what was found; what may be meant so and is only said."""

    cells: dict[str, int]
    findings: list[Finding]
    notes: list[str]


def verify(path: Path | str) -> Verified:
    """Every cell of a folder of runs, of one suite in it, or one cell.

    Raises: FileNotFoundError where there is no cell.
    """
    root = Path(path)
    folders = cell_folders(root)
    if not folders:
        raise FileNotFoundError(f"No cells at {str(path)!r}: give the out= folder of a run, a suite or a cell in it.")
    above = {root, *root.glob("*")} - {*folders}
    found = Verified({}, [finding for place in sorted(above) for finding in _leftovers(place)], [])
    rows: dict[Path, Mapping[str, Any]] = {}
    for folder in folders:
        busy = holder(folder)
        if busy:
            found.notes.append(f"{folder}: not verified, {busy} is at work there")
            status = "at work"
        else:
            status = _verify_cell(folder, rows, found.findings)
        found.cells[status] = found.cells.get(status, 0) + 1
    found.findings.extend(_duplicates(rows))
    found.findings.extend(_mixed_versions(rows))
    found.notes.extend(_mixed_machines(rows))
    return found


def cell_folders(root: Path) -> list[Path]:
    """The cell folders at, in, or two levels below `root`, by name."""
    places = [root, *root.glob("*"), *root.glob("*/*")]
    return sorted(place for place in places if place.is_dir() and _is_cell(place))


def _is_cell(place: Path) -> bool:
    if place.name in _OWN_FOLDERS:
        return False
    return bool(_CELL_NAME.search(place.name)) or any((place / name).exists() for name in (store.ROW, store.CELL))


def _verify_cell(folder: Path, rows: dict[Path, Mapping[str, Any]], findings: list[Finding]) -> str:
    """The cell's status; its row goes into `rows` where it can be read, what is wrong into `findings`."""
    if folder.is_symlink():
        findings.append(Finding(folder, "is a symbolic link; a run writes none", "remove the link"))
        return "linked"
    findings.extend(_leftovers(folder))
    if not (folder / store.ROW).exists():
        findings.append(
            Finding(
                folder,
                f"has no {store.ROW}: the cell was begun and not ended, or the file is gone",
                "run the command again: it goes on from here",
            )
        )
        return "unfinished"
    try:
        row = _strict_row(folder)
    except (OSError, ValueError) as error:
        findings.append(Finding(folder / store.ROW, f"cannot be read: {error}", AGAIN))
        return "unreadable"
    files = list(_files(folder, row))
    try:
        for finding in files or _content(folder, row):
            findings.append(finding)
    except (OSError, ValueError) as error:
        findings.append(Finding(folder, f"cannot be compared: {error}", AGAIN))
    rows[folder] = row
    return str(row.get("status"))


def _strict_row(folder: Path) -> dict[str, Any]:
    """row.json. Raises: ValueError where it is not strict JSON (NaN) or holds a value of another type."""

    def refuse(constant: str) -> None:
        raise ValueError(f"it holds {constant}, which strict JSON does not know")

    row = json.loads((folder / store.ROW).read_text(encoding="utf-8"), parse_constant=refuse)
    if not isinstance(row, dict) or not isinstance(row.get("files"), dict):
        raise ValueError("it is no object with the digests of its sibling files")
    check_types(row, ROW_COLUMNS)
    _mapping(row.get("versions"))
    return row


def _files(folder: Path, row: Mapping[str, Any]) -> Iterator[Finding]:
    """What the row vouches for against what is there."""
    files = row["files"]
    for name, digest in files.items():
        path = folder / name
        if Path(name).name != name:
            yield Finding(folder / store.ROW, f"vouches for {name!r}, which is no file beside it", REMOVE)
        elif path.is_symlink() or not path.is_file():
            yield Finding(path, "is a symbolic link" if path.is_symlink() else "is missing", f"restore it, or {AGAIN}")
        elif not store.holds(folder, name, digest):
            was = digest.get("size") if isinstance(digest, dict) else None
            yield Finding(
                path,
                f"was edited: {path.stat().st_size} bytes now, {was} when stored, other sha256",
                f"restore it, or {AGAIN}",
            )
    known = {store.ROW, CLAIM, *_OWN_FOLDERS, *files}
    for path in sorted(folder.iterdir()):
        if path.name not in known and not path.name.startswith("."):
            yield Finding(path, "is not vouched for by row.json", "measure it again, or move it out of the cell")
    if row.get("status") == "done" and store.CELL not in files:
        yield Finding(folder / store.ROW, f"vouches for no {store.CELL}", AGAIN)


def _content(folder: Path, row: Mapping[str, Any]) -> Iterator[Finding]:
    """The row against cell.json and against its tables."""
    place = folder / store.ROW
    if row.get("cell") and not folder.name.endswith(str(row["cell"])):
        yield Finding(place, f"names cell {row['cell']!r}, but lies in {folder.name}", "move the folder back")
    cell = json.loads((folder / store.CELL).read_text(encoding="utf-8")) if store.CELL in row["files"] else {}
    for name in _IN_BOTH:
        if name in cell and cell[name] != row.get(name):
            yield Finding(place, f"{name} is {row.get(name)!r}, but {store.CELL} says {cell[name]!r}", REMOVE)
    settings = _mapping(row.get("hyperparameters"))
    if cell.get("hyperparameters", settings) != settings:
        yield Finding(place, f"hyperparameters are {settings}, but {store.CELL} says {cell['hyperparameters']}", REMOVE)
    if row.get("status") in ("failed", "skipped") and not row.get("reason"):
        yield Finding(place, f"says {row['status']} without a reason", AGAIN)
    if row.get("status") == "done" and store.PAIRS in row["files"]:
        yield from _tables(folder, row, settings)


def _tables(folder: Path, row: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[Finding]:
    """The row's numbers, derived again from the pair table and the curve."""
    from results.metrics.row import derived_again

    try:
        pairs = read_parquet(folder / store.PAIRS, PAIR_COLUMNS, "pair")
        has_curve = store.CURVE in row["files"]
        curve = read_parquet(folder / store.CURVE, CURVE_COLUMNS, "curve") if has_curve else None
        yield from _not_finite(folder, pairs, curve)
        again = derived_again(row, pairs, curve)
    except (OSError, ValueError) as error:
        yield Finding(folder / store.PAIRS, f"cannot be measured: {error}", REMOVE)
        return
    expected = again | {
        "beta": settings.get("beta"),
        "test_pairs": _last(pairs, "test"),
        "validation_pairs": _last(pairs, "validation"),
    }
    for name, value in expected.items():
        if name in row and not _equal(row[name], value):
            yield Finding(folder / store.ROW, f"{name} is {row[name]!r}, but its tables give {value!r}", REMOVE)


def _mapping(text: object) -> dict[str, Any]:
    """A JSON object that a row holds as text. Raises: ValueError for anything else."""
    value = json.loads(text or "{}") if isinstance(text, str | None) else text
    if not isinstance(value, dict):
        raise ValueError(f"{text!r} is no JSON object")
    return value


def _last(pairs: "pd.DataFrame", split: str) -> int:
    """Rows of a split in the last evaluation."""
    return int(((pairs["step"] == pairs["step"].max()) & (pairs["split"] == split)).sum())


def _equal(stored: object, again: object) -> bool:
    """Equal within the tolerance; null stands for a number that does not exist."""
    if again is None or (isinstance(again, float) and not math.isfinite(again)):
        return stored is None
    if not isinstance(stored, int | float) or not isinstance(again, int | float):
        return False
    return math.isclose(stored, again, rel_tol=TOLERANCE, abs_tol=1e-12)


def _not_finite(folder: Path, pairs: "pd.DataFrame", curve: "pd.DataFrame | None") -> Iterator[Finding]:
    """Log-probs that are no number although the completion has tokens, and curves that left the finite numbers."""
    for side in ("chosen", "rejected"):
        for who in ("policy", "reference"):
            name = f"{who}_{side}_logp"
            bad = pairs[pairs[f"{side}_tokens"].notna() & ~pairs[name].abs().lt(math.inf)]
            if len(bad):
                what = f"{name} is no finite number in {len(bad)} rows, first {bad['pair_id'].iloc[0]!r}"
                yield Finding(folder / store.PAIRS, what, f"delete row.json and {AGAIN}")
    if curve is None:
        return
    for name in ("loss", "gradient_norm"):
        bad = curve[~curve[name].abs().lt(math.inf)]
        if len(bad):
            yield Finding(
                folder / store.CURVE,
                f"{name} is no finite number at step {bad['step'].iloc[0]}",
                f"delete row.json and {AGAIN}",
            )


def _leftovers(folder: Path) -> Iterator[Finding]:
    """Temporary files of a write that was cut off."""
    for path in sorted(folder.glob(".*")):
        if path.name.endswith(".tmp"):
            yield Finding(path, "was left behind by a write that was cut off", "delete it")


def _duplicates(rows: Mapping[Path, Mapping[str, Any]]) -> Iterator[Finding]:
    """One cell in two folders, which would count twice."""
    first: dict[tuple[Path, Any], Path] = {}
    for folder, row in rows.items():
        key = (folder.parent, row.get("cell"))
        if row.get("cell") and key in first:
            yield Finding(folder, f"holds the same cell as {first[key].name}", "keep one of them")
        first.setdefault(key, folder)


def _by_protocol(rows: Mapping[Path, Mapping[str, Any]]) -> Iterator[tuple[Path, list[Mapping[str, Any]]]]:
    """The finished rows that are ranked together."""
    groups: dict[tuple[Path, Any], list[Mapping[str, Any]]] = {}
    for folder, row in rows.items():
        if row.get("status") == "done":
            groups.setdefault((folder.parent, row.get("protocol")), []).append(row)
    for (place, _), group in groups.items():
        yield place, group


def _mixed_versions(rows: Mapping[Path, Mapping[str, Any]]) -> Iterator[Finding]:
    """Rows of one table that other versions of a library computed."""
    for place, group in _by_protocol(rows):
        known = [_mapping(row["versions"]) for row in group if row.get("versions")]
        for library in sorted({name for versions in known for name in versions}):
            counts = _counted(versions.get(library, "none") for versions in known)
            if len(counts) > 1:
                what = f"protocol {group[0].get('protocol')} mixes versions of {library}: {_said(counts)}"
                yield Finding(place, what, "a version may move a number: run one part again, in another out=")


def _mixed_machines(rows: Mapping[Path, Mapping[str, Any]]) -> Iterator[str]:
    """Rows of one table from several commits, devices or thread counts: allowed, and worth knowing."""
    for place, group in _by_protocol(rows):
        for name in ("commit", "device", "threads"):
            counts = _counted(row.get(name) or "unknown" for row in group)
            if len(counts) > 1:
                yield f"{place}: rows of protocol {group[0].get('protocol')} differ in {name}: {_said(counts)}"


def _counted(values: Iterator[Any]) -> dict[Any, int]:
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def _said(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{value} ({count} {'cell' if count == 1 else 'cells'})" for value, count in counts.items())
