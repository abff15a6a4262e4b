"""Shared data on disk, and the hub look-alike as the data sets' hub."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests import hub

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def hh_folder() -> Path:
    """The hub's own test files of two subsets, where the checkout has shared data beside it."""
    folder = SHARED / "hh-rlhf"
    if not folder.is_dir():
        pytest.skip("no shared/data/hh-rlhf beside the checkout")
    return folder


@pytest.fixture(scope="session")
def serve_hub() -> Callable[..., AbstractContextManager[str]]:
    """A hub that holds files (path in the repository -> content) at COMMIT; gives its endpoint."""
    return lambda files, repository="Anthropic/hh-rlhf", **more: hub.serve(files, repository, "datasets", **more)


@pytest.fixture(scope="session")
def serve_errors() -> Callable[[int], AbstractContextManager[str]]:
    """A hub that answers every request with one status; gives its endpoint."""
    return hub.serve_errors


@pytest.fixture(scope="session")
def hub_commit() -> str:
    """The commit the hub look-alike serves."""
    return hub.COMMIT
