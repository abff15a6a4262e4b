"""The hub's side of hh-rlhf: download with `datasets`, or find the files in the hub's offline cache.

HF_HUB_OFFLINE, HF_DATASETS_OFFLINE, HF_ENDPOINT and HF_HOME mean what they always mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from suites.pair import SuiteError

TIMEOUT_SECONDS = 10
EMBEDDED = "the packaged suite=imdb-sentiment, which needs no network"


HubRow = tuple[str, str, int, dict[str, object]]


class HubRows(NamedTuple):
    """A stream of (subset, split, row number, fields) in the hub's order, its splits, and the commit it was read at."""

    rows: Iterator[HubRow]
    splits: frozenset[str]
    commit: str


class Snapshot(NamedTuple):
    """One cached commit: a folder with the repository's own layout."""

    folder: Path
    commit: str


def is_offline() -> bool:
    """Whether the environment forbids asking the hub."""
    import datasets

    return bool(datasets.config.HF_HUB_OFFLINE)


def load_rows(repository: str, subsets: tuple[str, ...], revision: str | None) -> HubRows:
    """All rows of the given subsets, asked from the hub and cached by `datasets`.

    One short request settles the commit before anything else, so an unreachable hub is reported within
    seconds; a hub that fails later is reported the same way.

    Raises: SuiteError naming the ways out.
    """
    import datasets

    commit = _resolve_commit(repository, revision)
    parts: list[tuple[str, str, Any]] = []
    for subset in subsets:
        try:
            table = datasets.load_dataset(repository, data_dir=subset, revision=commit)
        except Exception as error:  # datasets, the hub client and the HTTP library have a family each
            raise _unreachable(repository, error) from error
        parts += [(subset, split, table[split]) for split in ("train", "test") if len(table.get(split, ()))]
    return HubRows(_rows(parts), frozenset(split for _, split, _ in parts), commit)


def _rows(parts: list[tuple[str, str, Any]]) -> Iterator[HubRow]:
    """The rows of all parts; `datasets` reads them from a mapped file as they are asked for."""
    for subset, split, part in parts:
        for number, fields in enumerate(part):
            yield subset, split, number, fields


def find_snapshot(repository: str, subsets: tuple[str, ...], revision: str | None) -> Snapshot:
    """The cached commit that holds the given subsets, without any request.

    The raw files are used, not the Arrow copy: `datasets` 5.2 files the latter under a hash of the files'
    remote addresses, which it cannot work out offline, so it never finds a subset again.

    Without a revision the cached default branch is taken, or the only commit there is.

    Raises: SuiteError naming the ways out.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    root = Path(HF_HUB_CACHE) / f"datasets--{repository.replace('/', '--')}"
    if any(root.glob("blobs/*.incomplete")):
        raise _not_cached(repository, "a download was cut off and is incomplete")
    folders = sorted((root / "snapshots").glob("*"))
    whole = {folder.name: folder for folder in folders if all(_is_whole(folder / s) for s in subsets)}
    branch = root / "refs" / (revision or "main")
    commit = branch.read_text().strip() if branch.is_file() else revision
    if commit is None and len(whole) == 1:
        commit = next(iter(whole))
    if commit not in whole:
        asked = f"revision {revision!r} of " if revision else ""
        there = f"; whole commits there: {', '.join(whole)} (suite.revision=)" if whole else ""
        raise _not_cached(repository, f"no {asked}{', '.join(subsets)} in {HF_HUB_CACHE}{there}")
    return Snapshot(whole[commit], commit)


def _is_whole(folder: Path) -> bool:
    """The test file comes last in a download: without it the rest may be missing too."""
    return (folder / "test.jsonl.gz").is_file()


def _resolve_commit(repository: str, revision: str | None) -> str:
    """The commit that a revision stands for now (None: the default branch)."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return HfApi().dataset_info(repository, revision=revision, timeout=TIMEOUT_SECONDS).sha
    except RevisionNotFoundError as error:
        raise SuiteError(
            f"{repository} has no revision {revision!r}; give a commit, tag or branch"
        ) from error
    except Exception as error:  # the HTTP library behind the hub client, and so its errors, vary by version
        raise _unreachable(repository, error) from error


def _unreachable(repository: str, error: Exception) -> SuiteError:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    return SuiteError(
        f"the hub could not deliver {repository} from {endpoint} ({_short(error)}). Ways out: suite.path=DIR "
        f"with the hub's files, HF_HUB_OFFLINE=1 if the set is in the hub cache already, or {EMBEDDED}"
    )


def _not_cached(repository: str, why: str) -> SuiteError:
    return SuiteError(
        f"the hub is switched off (HF_HUB_OFFLINE) and its cache cannot serve {repository}: {why}. Ways out: "
        f"suite.path=DIR with the hub's files, unset HF_HUB_OFFLINE to download them, or {EMBEDDED}"
    )


def _short(error: Exception) -> str:
    """The first line of an error, with its type, in at most 160 characters."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text[:160]
