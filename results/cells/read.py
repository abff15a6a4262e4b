"""What the store holds, as DataFrames: rows of cells, held-out pairs, training curves.

A path is a folder of runs, one suite's folder in it, or one cell's folder. A file that cannot be read is
left out with a warning that names it. Writing is in `store.py`.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from results.cells.completed import completed
from results.cells.frames import check_types, read_parquet, rows_frame
from results.cells.searches import CLAIM, PLAIN, needed_record, record, records, roles
from results.cells.store import AUDIT, CURVE, PAIRS, ROW, read_row
from results.schema.row import CURVE_COLUMNS, PAIR_COLUMNS, ROW_COLUMNS, Column

if TYPE_CHECKING:
    import pandas as pd


def read(path: Path | str) -> "pd.DataFrame":
    """One row a cell: all ROW_COLUMNS in declared order and type, further keys last; failed cells included.

    A metric that a finished row lacks is computed from the cell's tables, where they are there. Missing values are NaN
    (text, floats) or NA (counts, flags). Mappings, such as hyperparameters, are JSON text. stage, trial and role say
    what a cell was to the search that named it last (results.search: to each one).
    Raises: FileNotFoundError where there is no cell that can be read.
    """
    parts = roles(records(path))
    none = {"stage": PLAIN, "trial": None, "role": ""}
    rows = completed(_rows(path))
    return rows_frame(({**row, **parts.get(row.get("cell", ""), none)} for row in rows), ROW_COLUMNS)


def pairs(path: Path | str, step: int | Literal["last", "all"] = "last", split: str | None = "test") -> "pd.DataFrame":
    """The pair tables of the cells, with `cell` and `loss` in front; a metric takes the rows of one cell.

    `step` is "last" (the last one measured, cell by cell), "all", or a number; `split` None means every
    split.
    Raises: FileNotFoundError where no cell has a pair table, ValueError where none has that step or
    split.
    """
    if not (step in ("last", "all") or (isinstance(step, int) and not isinstance(step, bool))):
        raise ValueError(f"step is {step!r}; allowed are 'last', 'all' or a number of optimizer steps.")
    frame = _tables(path, PAIRS, PAIR_COLUMNS, "pair")
    if split is not None:
        frame = _kept(frame, frame["split"] == split, "split", split)
    if step == "last":
        frame = frame[frame["step"] == frame.groupby("cell")["step"].transform("max")]
    elif step != "all":
        frame = _kept(frame, frame["step"] == step, "step", step)
    return frame.reset_index(drop=True)


def curves(path: Path | str) -> "pd.DataFrame":
    """The training curves of the cells, one row a logged step, with `cell` and `loss` in front.

    As in every frame, `loss` is the name; the value that training minimised, stored as loss, is `loss_value`.
    Terms of composite losses are columns term_<name>, NaN for the other losses.
    Raises: FileNotFoundError where no cell has a curve.
    """
    return _tables(path, CURVE, CURVE_COLUMNS, "curve")


def audits(path: Path | str) -> dict[str, dict[str, Any]]:
    """What was found about the rows that the cells used: protocol -> the audit as it was stored; {} where none is.

    Of a cell's folder, the audits of its suite.
    """
    root = Path(path)
    root = root.parent if (root / ROW).exists() else root
    found = {}
    for file in sorted(file for pattern in ("", "*/") for file in root.glob(pattern + AUDIT.format("*"))):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            found[content["protocol"]] = content
        except (OSError, ValueError, TypeError, KeyError) as error:
            warnings.warn(f"skipped {file}: {type(error).__name__}: {error}", stacklevel=2)
    return found


def _kept(frame: "pd.DataFrame", mask: "pd.Series", name: str, wanted: object) -> "pd.DataFrame":
    """The rows of the mask. Raises: ValueError naming the values there are, where none is left."""
    if not mask.any():
        there = ", ".join(map(str, sorted(frame[name].dropna().unique())))
        raise ValueError(f"No pair was measured at {name} {wanted!r}; there are: {there}.")
    return frame[mask]


def _rows(path: Path | str) -> dict[Path, dict[str, Any]]:
    """Cell folder -> its row, checked against the schema, in the order of the folders' names."""
    root = Path(path)
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise FileNotFoundError(f"No runs at {str(path)!r}: it {state}; give a folder that a run wrote.")
    places = (
        [root]
        if (root / ROW).exists()
        else sorted(place.parent for pattern in (f"*/{ROW}", f"*/*/{ROW}") for place in root.glob(pattern))
    )
    rows = {}
    for folder in places:
        try:
            rows[folder] = _checked_row(read_row(folder))
        except (OSError, ValueError) as error:
            warnings.warn(f"skipped {folder / ROW}: {error}", stacklevel=3)
    if not rows:
        raise FileNotFoundError(
            f"No runs at {str(path)!r}: no {ROW} that can be read lies in it, in its "
            "folders, or in theirs; give the out= folder of a run."
        )
    return rows


def _checked_row(content: Mapping[str, Any]) -> dict[str, Any]:
    """A stored row without its digests, mappings and lists as JSON text.

    Raises: ValueError for a value of a wrong type.
    """
    check_types(content, ROW_COLUMNS)
    return {
        key: _text(value) if isinstance(value, dict | list) else value
        for key, value in content.items()
        if key != "files"
    }


def _text(value: dict[str, Any] | list[Any]) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _tables(path: Path | str, name: str, columns: tuple[Column, ...], table: str) -> "pd.DataFrame":
    """The files of this name under all cells, one below the other; their `loss` becomes `loss_value`."""
    import pandas as pd

    frames = []
    for folder, row in _rows(path).items():
        if not (folder / name).exists():
            continue
        try:
            frame = read_parquet(folder / name, columns, table).rename(columns={"loss": "loss_value"})
        except (OSError, ValueError) as error:
            warnings.warn(f"skipped {folder / name}: {error}", stacklevel=3)
            continue
        frame.insert(0, "cell", row.get("cell") or folder.name)
        frame.insert(1, "loss", row.get("loss"))
        frames.append(frame)
    if not frames:
        raise FileNotFoundError(f"No cell at {str(path)!r} has a {name} that can be read.")
    return pd.concat(frames, ignore_index=True)


def search(path: Path | str, search: str | None = None) -> "pd.DataFrame":
    """One row a part that a cell has in a search (the last one, or that of the id), with the columns of
    `results.read`, and `search` and `rung` (0 = the first round of successive halving) in front.

    A cell that was tried and is a part of the confirmation too has two rows; cells that have not been run have none.
    Raises: FileNotFoundError without runs; ValueError where there is no such search.
    """
    found = needed_record(path, search)
    return parts(read(path), found)


def parts(runs: "pd.DataFrame", found: dict[str, Any]) -> "pd.DataFrame":
    """The rows of `runs` that a record names, as `search` gives them."""
    import pandas as pd

    entries = pd.DataFrame(found["cells"])[["cell", "stage", "trial", "rung", "role"]]
    joined = entries.merge(runs.drop(columns=["stage", "trial", "role"]), on="cell", how="inner")
    kept = {name: joined[name].astype(runs[name].dtype) for name in runs.columns}
    front = {"search": [found["search"]] * len(joined), "rung": joined["rung"].astype("Int64")}
    return pd.DataFrame({**front, **kept})


def comparable(runs: "pd.DataFrame", path: Path | str, search: str | None = None) -> "pd.DataFrame":
    """The rows that verdicts rest on: where a protocol has a confirmed search, the confirmation's alone.

    search: the id of another search than the last one; "none" takes every row.
    Raises: ValueError for an id that is not there.
    """
    import pandas as pd

    if search == "none":
        return runs.assign(role="")
    named = [record(path, search)] if search else records(path)
    last = {one["protocol"]: one for one in named if one and one["claim_seeds"]}
    of_searches = [parts(runs, one) for one in last.values()]
    confirmed = [frame[frame["stage"] == CLAIM][list(runs.columns)] for frame in of_searches]
    return pd.concat([*confirmed, runs[~runs["protocol"].isin(list(last))]], ignore_index=True) if last else runs
