"""One way to a public set: from the hub, from its offline cache, from a folder in the hub's layout, or a file.

Rows come in the same order and under the same ids on every way. What the columns mean is the suites'.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol, TypeVar

from suites.kind import Kind
from suites.pair import Suite, SuiteError
from suites.reading.cleaning import Draft, Tally, collect, finish
from suites.reading.layout import DataFile, Layout, arrange, missing_shards, stem_of
from suites.reading.records import FILE_ENDINGS, digest_files, read_records

DEPTH = 4  # folders below suite.path that are looked into

Row = TypeVar("Row", bound="Named")


class Named(Protocol):
    """What a suite is built from: anything with the id of a row."""

    @property
    def id(self) -> str:
        """What the row is called in messages."""


class SourceRow(NamedTuple):
    """One row as it was found. `id` names part, split and number; `split` is the source's own, if it has one."""

    id: str
    part: str
    split: str | None
    fields: Mapping[str, object]


@dataclass(frozen=True)
class HubSet:
    """A public set: its repository (None: not on the hub), where its rows lie, and the columns of its forms.

    forms: name of a form -> the columns that it needs; the first form whose columns are all there is taken.
    download: where the files come from when the hub cannot give them as data.
    """

    repository: str | None
    layout: Layout
    forms: Mapping[str, tuple[str, ...]]
    download: str = ""


class Opened(NamedTuple):
    """A source ready to be read: the form of its rows, the rows in order, and where they came from."""

    form: str
    rows: Iterator[SourceRow]
    source: str
    revision: str


class _Found(NamedTuple):
    """The files of a source, how one group of them is read, and where they came from."""

    files: Sequence[DataFile]
    read: Callable[[Sequence[str]], Iterable[Mapping[str, object]]]
    source: str
    revision: str


def open_set(
    found_in: HubSet, *, path: str | None, revision: str | None, parts: Collection[str] | None = None
) -> Opened:
    """Find the files, look at the first row's columns, and hand over the rows, which are read as they are used.

    path: a folder or a file; without it the hub is asked, or its cache where the environment says offline.
    revision: a commit, tag or branch of the hub. parts: the subsets asked for (None: all that are there).

    Raises: SuiteError naming what was found and what is needed.
    """
    if path is not None and revision is not None:
        raise SuiteError("suite.revision belongs to the hub; with suite.path the files are the revision")
    found = _from_hub(found_in, revision, parts) if path is None else _from_path(found_in, path, parts)
    rows = _rows(found, found_in.layout)
    first = next(rows, None)
    if first is None:
        raise SuiteError(f"{found.source}: no rows")
    form = recognise(found.source, first.fields, found_in.forms)
    return Opened(form, chain([first], rows), found.source, found.revision)


def recognise(source: str, fields: Mapping[str, object], forms: Mapping[str, tuple[str, ...]]) -> str:
    """The first form whose columns are all there.

    Raises: SuiteError with the columns found and those needed.
    """
    for form, columns in forms.items():
        if all(column in fields for column in columns):
            return form
    needed = "; or ".join(f"{', '.join(columns)} ({form})" for form, columns in forms.items())
    raise SuiteError(f"{source}: columns found: {', '.join(map(str, fields)) or 'none'}; needed: {needed}")


def build_suite(
    name: str,
    opened: Opened,
    records: Iterable[Row],
    build: Callable[[Row], Draft],
    *,
    kind: Kind = Kind.PAIRS,
    evaluation_only: bool = False,
) -> Suite:
    """The suite of an opened source. `build` makes a draft of a record, or raises RowDropped.

    Where all rows name one and the same split, that word says nothing about what to hold out, and the first
    human turn decides (70/10/20); evaluation_only puts every row into test instead.

    Raises: SuiteError.
    """
    tally = Tally()
    drafts = collect(records, tally, build=build, name=lambda record: record.id)
    if evaluation_only:
        drafts = (replace(draft, split="test") for draft in drafts)
    return finish(
        drafts,
        tally,
        name=name,
        kind=kind,
        source=opened.source,
        revision=opened.revision,
        lone_split_counts=evaluation_only,
    )


def _rows(found: _Found, layout: Layout) -> Iterator[SourceRow]:
    """All rows, group by group of files that make one split of one part; numbered within the group."""
    groups: dict[tuple[str, str | None], list[str]] = {}
    for file in found.files:
        groups.setdefault((file.part, file.word), []).append(file.name)
    for (part, word), names in groups.items():
        place = "/".join(filter(None, (part, word))) or "row"
        split = layout.split(word)
        for number, fields in enumerate(found.read(names)):
            yield SourceRow(f"{place}/{number}", part, split, fields)


def _from_hub(found_in: HubSet, revision: str | None, parts: Collection[str] | None) -> _Found:
    """The files of a set on the hub, or of its cached copy where the hub is switched off. Raises: SuiteError."""
    from suites.reading.hub import find_snapshot, is_offline, list_files, load_rows

    repository = found_in.repository
    if repository is None:
        raise SuiteError(f"this set is not on the hub: give suite.path=DIR or FILE. {found_in.download}".strip())
    asked = parts or ()
    named = ", ".join(asked) if len(asked) < 5 else f"{len(asked)} subsets"
    source = f"{repository} ({named})" if asked else repository
    if is_offline():
        kept = find_snapshot(repository, revision, lambda names: _lacking(names, found_in.layout, parts))
        files = arrange(kept.names, found_in.layout, parts)
        return _Found(files, lambda names: _read_files(kept.folder, names), source, kept.commit)
    listing = list_files(repository, revision)
    files = arrange(listing.names, found_in.layout, parts)
    if not files:
        raise SuiteError(_no_data(found_in, listing.names, parts))
    return _Found(files, lambda names: load_rows(repository, listing.commit, names), source, listing.commit)


def _lacking(names: Sequence[str], layout: Layout, parts: Collection[str] | None) -> str | None:
    """What a cached commit lacks of a set: a part, its last split, which is downloaded last, or a shard."""
    files = arrange(names, layout, parts)
    last = list(layout.splits)[-1:] if len(layout.splits) > 1 else []
    for part in parts or sorted({file.part for file in files}) or [""]:
        words = {file.word for file in files if file.part == part}
        if not words or (last and last[0] not in words):
            return part or "whole copy"
    cut = missing_shards(files)
    return f"complete {', '.join(cut)}" if cut else None


def _no_data(found_in: HubSet, names: Sequence[str], parts: Collection[str] | None) -> str:
    """The sentence for a repository without data files for this set."""
    what = f"subset {', '.join(parts)}" if parts else "data files"
    found = ", ".join(sorted(names)[:12]) or "nothing"
    if any(name.endswith(".py") for name in names):
        return (
            f"{found_in.repository} holds a loading script instead of data (found: {found}), and scripts are not "
            "run here. Ways out: suite.path=DIR or FILE with the data, or suite.revision=refs/convert/parquet, the "
            f"hub's own Parquet copy, where it has one. {found_in.download}".strip()
        )
    endings = ", ".join(FILE_ENDINGS)
    return f"{found_in.repository}: no {what} ({endings}) in the repository; found: {found}"


def _from_path(found_in: HubSet, path: str, parts: Collection[str] | None) -> _Found:
    """The files of a set below a folder, or the one that is given. Raises: SuiteError."""
    root = Path(os.path.expanduser(path))
    if not os.path.exists(root):  # also False for names that no file can have
        raise SuiteError(f"suite.path={path}: no such file or folder; it is read from the current folder")
    root = Path(os.path.abspath(root))
    names = [root.name] if root.is_file() else sorted(_names_below(root))
    # The root's own name counts: a folder of one subset is named after it.
    above = root.parent if root.is_dir() else root.parent.parent
    if root.is_file() and not root.name.lower().endswith(FILE_ENDINGS):
        raise SuiteError(f"suite.path={path}: not a file of a known format; allowed: {', '.join(FILE_ENDINGS)}")
    prefix = (root if root.is_dir() else root.parent).name
    files = arrange((str(PurePosixPath(prefix, name)) for name in names), found_in.layout, parts)
    if not files:
        wanted = f"subset {', '.join(parts)}" if parts else "data files"
        found = ", ".join(names[:12]) or "nothing"
        raise SuiteError(f"suite.path={path}: no {wanted} there ({', '.join(FILE_ENDINGS)}); found: {found}")
    labels = [_label(file) for file in files]
    shown = ", ".join(labels[:4]) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "")
    digest = digest_files((label, above / file.name) for label, file in zip(labels, files, strict=True))
    return _Found(files, lambda group: _read_files(above, group), f"files ({shown})", digest)


def _label(file: DataFile) -> str:
    """What a file is called in digests and notes: the same wherever the root was put."""
    stem = stem_of(PurePosixPath(file.name).name)
    return stem if file.part in ("", stem) else f"{file.part}/{stem}"


def _names_below(root: Path) -> Iterator[str]:
    """Paths of the files below a folder, relative to it, to a limited depth and without hidden ones."""
    for folder, folders, files in os.walk(root):
        below = Path(folder).relative_to(root)
        deeper = len(below.parts) < DEPTH
        folders[:] = [name for name in folders if deeper and not name.startswith(".")]
        yield from (below.joinpath(name).as_posix() for name in files if not name.startswith("."))


def _read_files(folder: Path, names: Sequence[str]) -> Iterator[Mapping[str, object]]:
    return (record.fields for name in names for record in read_records(folder / name))
