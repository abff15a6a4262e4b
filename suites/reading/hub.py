"""The hub: list a repository at one commit, download its rows with `datasets`, or find it in the offline cache.

HF_HUB_OFFLINE, HF_DATASETS_OFFLINE, HF_ENDPOINT, HF_HOME and HF_TOKEN mean what they always mean.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from suites.pair import SuiteError

TIMEOUT_SECONDS = 10
EMBEDDED = "the packaged suite=imdb-sentiment, which needs no network"
# ending -> the reader of `datasets`; a repository's own loading script is never run
BUILDERS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json", ".gz": "json"}


class Listing(NamedTuple):
    """The files of a repository at one commit, as paths below its root."""

    names: tuple[str, ...]
    commit: str


class Snapshot(NamedTuple):
    """One cached commit: a folder with the repository's own layout, and the files that are there."""

    folder: Path
    names: tuple[str, ...]
    commit: str


def is_offline() -> bool:
    """Whether the environment forbids asking the hub."""
    import datasets

    return bool(datasets.config.HF_HUB_OFFLINE)


def list_files(repository: str, revision: str | None) -> Listing:
    """The files at the commit that a revision stands for now (None: the default branch).

    One short request before anything else: an unreachable hub is reported within seconds, and what is
    downloaded afterwards is all of one commit.

    Raises: SuiteError naming the ways out.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        info = HfApi().dataset_info(repository, revision=revision, timeout=TIMEOUT_SECONDS)
    except RevisionNotFoundError as error:
        raise SuiteError(f"{repository} has no revision {revision!r}; give a commit, tag or branch") from error
    except Exception as error:  # the HTTP library behind the hub client, and so its errors, vary by version
        raise _unreachable(repository, error) from error
    return Listing(tuple(sibling.rfilename for sibling in info.siblings or ()), info.sha or revision or "main")


def load_rows(repository: str, commit: str, names: Sequence[str]) -> Iterator[dict[str, object]]:
    """The rows of some files of one format, in the order of the files; downloaded and cached by `datasets`.

    The files are named one by one, so nothing but them is downloaded and the repository's card and
    configurations play no part.

    Raises: SuiteError naming the ways out.
    """
    import datasets

    builder = BUILDERS[os.path.splitext(names[0])[1].lower()]
    files = [f"hf://datasets/{repository}@{commit}/{name}" for name in names]
    try:
        table = datasets.load_dataset(
            builder, data_files={"train": files}, split="train", verification_mode="no_checks"
        )
    except Exception as error:  # datasets, the hub client and the HTTP library have a family each
        raise _unreachable(repository, error) from error
    yield from table


def find_snapshot(repository: str, revision: str | None, lacks: Callable[[Sequence[str]], str | None]) -> Snapshot:
    """The cached commit that holds a set, without any request.

    The raw files are used, not the Arrow copy, which `datasets` files under a hash of remote addresses.
    `lacks` is given the names of the files of a commit and says what they lack (None: nothing).
    Without a revision the cached default branch is taken, or the only commit there is.

    Raises: SuiteError naming the ways out.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    root = Path(HF_HUB_CACHE) / f"datasets--{repository.replace('/', '--')}"
    if any(root.glob("blobs/*.incomplete")):
        raise _not_cached(repository, "a download was cut off and is incomplete")
    cached = {folder.name: _names_below(folder) for folder in sorted((root / "snapshots").glob("*"))}
    reasons = {commit: lacks(names) for commit, names in cached.items()}
    whole = [commit for commit, reason in reasons.items() if reason is None]
    branch = root / "refs" / (revision or "main")
    commit = branch.read_text().strip() if branch.is_file() else revision
    if commit is None and len(whole) == 1:
        commit = whole[0]
    if commit is None or commit not in whole:
        asked = f"revision {revision!r} of " if revision else ""
        there = f"; whole commits there: {', '.join(whole)} (suite.revision=)" if whole else ""
        what = (reasons.get(commit) if commit else None) or lacks(())
        raise _not_cached(repository, f"no {asked}{what} in {HF_HUB_CACHE}{there}")
    return Snapshot(root / "snapshots" / commit, cached[commit], commit)


def _names_below(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


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
    """The first line of an error (or of what caused it), with its type, in at most 160 characters."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(cause).strip().splitlines()
    text = f"{type(cause).__name__}: {lines[0]}" if lines else type(cause).__name__
    return text[:160]
