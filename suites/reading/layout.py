"""Which files of a repository or folder hold a set's rows, and which split each is, read off their names.

Names only: nothing is opened here. The hub, its cache and a folder are all arranged by these rules, so the
rows of a set come in one order and under the same ids whichever way they came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from suites.pair import SuiteError
from suites.reading.records import FILE_ENDINGS
from suites.splits import DECLARED

SHARD = re.compile(r"-(\d{5})-of-(\d{5})(-[0-9a-f]+)?$")
NOT_DATA = {"dataset_infos.json", "dataset_info.json", "state.json"}  # written beside data by the hub's tools


class DataFile(NamedTuple):
    """One file of rows. `part` is the subset ("" for a set of one piece), `word` the source's own word for the
    split (None where the name says none), `name` the path below the root, with forward slashes."""

    part: str
    word: str | None
    name: str


@dataclass(frozen=True)
class Layout:
    """Where a set keeps its rows.

    splits: the source's word in file names -> train, validation or test, in the order of the rows. A source
    with one held-out split calls it test here, whatever its name. folder: the folder of the repository that
    holds this form of the set. part: path -> name of the subset, or None for a file that holds no rows of it;
    without it the set is of one piece.
    """

    splits: Mapping[str, str]
    folder: str = ""
    part: Callable[[PurePosixPath], str | None] | None = None

    def split(self, word: str | None) -> str | None:
        """The split that a source's word stands for."""
        return None if word is None else self.splits.get(word) or DECLARED[word]


def parent_part(path: PurePosixPath) -> str | None:
    """The subset of a repository with one folder a subset."""
    return path.parts[-2] if len(path.parts) > 1 else None


def arrange(names: Iterable[str], layout: Layout, parts: Iterable[str] | None = None) -> list[DataFile]:
    """The files of a set in the order of its rows: by part, split and name; empty where there is none.

    Files whose name holds one of the set's words for a split come first in rank; without any of those, files
    with a common word (train, validation, test); without those, all data files, with no split. `parts`
    limits the subsets.

    Raises: SuiteError where a split lies there twice.
    """
    paths = [PurePosixPath(name) for name in names if _is_data(name)]
    inside = [path for path in paths if layout.folder in path.parts[:-1]]
    if layout.folder and inside:
        paths = inside
    known = [(part, path) for path in paths if (part := _part(path, layout)) is not None]
    if parts is not None:
        known = [(part, path) for part, path in known if part in set(parts)]
    for words in (layout.splits, DECLARED):
        found = [DataFile(p, word, str(path)) for p, path in known if (word := split_word(path, words))]
        if found:
            break
    else:
        found = [DataFile(part, None, str(path)) for part, path in known]
    _refuse_twice(found)
    order = {word: place for place, word in enumerate(layout.splits)}
    last = len(order)
    return sorted(found, key=lambda file: (file.part, order.get(file.word or "", last), file.word or "", file.name))


def split_word(path: PurePosixPath, words: Iterable[str]) -> str | None:
    """The split word of a file: its name without ending and shard number, else the name of its folder."""
    stem = SHARD.sub("", stem_of(path.name))
    for candidate in (stem, path.parts[-2] if len(path.parts) > 1 else ""):
        if candidate in words:
            return candidate
    return None


def missing_shards(files: Iterable[DataFile]) -> list[str]:
    """The names of splits of which a numbered file is missing, as after a download that was cut off."""
    there: dict[tuple[str, str, int], int] = {}
    for file in files:
        shard = SHARD.search(stem_of(PurePosixPath(file.name).name))
        if shard:
            key = (file.part, file.word or "", int(shard[2]))
            there[key] = there.get(key, 0) + 1
    return ["/".join(filter(None, key[:2])) for key, count in there.items() if count != key[2]]


def stem_of(name: str) -> str:
    """A file name without its data ending."""
    ending = max((ending for ending in FILE_ENDINGS if name.lower().endswith(ending)), key=len, default="")
    return name[: len(name) - len(ending)] or name


def _is_data(name: str) -> bool:
    return name.lower().endswith(FILE_ENDINGS) and PurePosixPath(name).name not in NOT_DATA


def _part(path: PurePosixPath, layout: Layout) -> str | None:
    return layout.part(path) if layout.part else ""


def _refuse_twice(files: list[DataFile]) -> None:
    """Two folders or two formats with the same split of the same part would double its rows. Raises: SuiteError."""
    seen: dict[tuple[str, str | None], tuple[str, str]] = {}
    for file in files:
        if file.word is None:
            continue
        path = PurePosixPath(file.name)
        folder = path.parent.parent if path.parent.name == file.word else path.parent
        place = (str(folder), path.name.lower().removeprefix(stem_of(path.name).lower()))
        first = seen.setdefault((file.part, file.word), place)
        if first != place:
            raise SuiteError(
                f"the split {file.word!r} lies there twice: {'; '.join(f'{f} ({e})' for f, e in (first, place))}; "
                "keep one of them, or give suite.path=FOLDER with the one that is meant"
            )
