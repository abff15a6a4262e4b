"""Judges in tests: no key of the user's, waits too short to notice."""

from __future__ import annotations

import pytest

from harness.options.judges import JudgeSettings

KEY = "sk-not-a-real-key-0123456789"


@pytest.fixture
def key(monkeypatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return KEY


@pytest.fixture
def brief() -> JudgeSettings:
    """Settings under which a failing server is given up on quickly."""
    return JudgeSettings(timeout_seconds=5.0, retries=2, concurrency=4)
