"""The hub path, against a look-alike on loopback: download, offline reload, and clear failures.

Each load runs in its own process with its own HF_HOME, because the hub libraries read the environment
when they are imported.
"""

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

LOAD = """
import json, sys
from dataclasses import asdict
import suites
try:
    suite = suites.load("hh-rlhf", json.loads(sys.argv[1]))
    print(json.dumps({"rows": [asdict(row) for row in suite.rows], "read": suite.read,
                      "revision": suite.revision, "source": suite.source}))
except suites.SuiteError as error:
    print(json.dumps({"error": str(error)}))
"""
SUBSET = {"subset": "helpful-base"}


def load(home: Path, settings: dict, **environment: str) -> dict:
    """What loading the suite gives in a fresh process: the suite's fields, or {"error": message}."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(settings)],
        env={**clean, "HF_HOME": str(home), **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def transcripts(questions: list[str]) -> bytes:
    rows = (
        {"chosen": f"\n\nHuman: {q}\n\nAssistant: yes", "rejected": f"\n\nHuman: {q}\n\nAssistant: no"}
        for q in questions
    )
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0)


FILES = {
    "README.md": b"---\nlicense: mit\n---\n",
    "helpful-base/train.jsonl.gz": transcripts([f"question {number}" for number in range(30)]),
    "helpful-base/test.jsonl.gz": transcripts(["question 3", "only in test"]),
    "harmless-base/test.jsonl.gz": transcripts(["not asked for"]),
}


@pytest.fixture(scope="module")
def downloaded(serve_hub, tmp_path_factory):
    """(home, suite) after one download of helpful-base from the look-alike."""
    home = tmp_path_factory.mktemp("home")
    with serve_hub(FILES) as endpoint:
        return home, load(home, SUBSET, HF_ENDPOINT=endpoint)


def test_a_subset_is_downloaded_at_a_recorded_commit(downloaded, hub_commit):
    _, suite = downloaded
    assert suite["revision"] == hub_commit
    assert suite["source"] == "Anthropic/hh-rlhf (helpful-base)"
    assert suite["read"] == 32
    assert len(suite["rows"]) == 31  # "question 3" is in test, so its train row is dropped
    assert suite["rows"][0]["id"] == "helpful-base/train/0"
    assert [row["split"] for row in suite["rows"][-2:]] == ["test", "test"]


def test_the_offline_cache_gives_the_same_suite(downloaded, hub_commit):
    home, online = downloaded
    dead_end = "http://127.0.0.1:9"
    assert load(home, SUBSET, HF_HUB_OFFLINE="1", HF_ENDPOINT=dead_end) == online
    assert load(home, {**SUBSET, "revision": hub_commit}, HF_HUB_OFFLINE="1") == online


def test_what_the_offline_cache_does_not_hold_is_said(downloaded, tmp_path):
    home, _ = downloaded
    for where, settings, words in (
        (tmp_path, SUBSET, "no helpful-base"),
        (home, {"subset": "harmless-base"}, "no harmless-base"),
        (home, {**SUBSET, "revision": "v2"}, "no revision 'v2'"),
    ):
        error = load(where, settings, HF_HUB_OFFLINE="1")["error"]
        assert words in error
        assert "suite.path=" in error
        assert "suite=imdb-sentiment" in error


def test_a_path_gives_the_same_rows_as_the_hub(downloaded, tmp_path):
    _, online = downloaded
    for name in ("train", "test"):
        file = tmp_path / "helpful-base" / f"{name}.jsonl.gz"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(FILES[f"helpful-base/{name}.jsonl.gz"])
    assert load(tmp_path, {"path": str(tmp_path)})["rows"] == online["rows"]


@pytest.mark.parametrize("status", [500, 404, None])
def test_a_hub_that_fails_is_reported_within_seconds(serve_errors, tmp_path, status):
    start = time.monotonic()
    if status is None:
        error = load(tmp_path, SUBSET, HF_ENDPOINT="http://127.0.0.1:9")["error"]
    else:
        with serve_errors(status) as endpoint:
            error = load(tmp_path, SUBSET, HF_ENDPOINT=endpoint)["error"]
    assert time.monotonic() - start < 30
    assert error.startswith("the hub could not deliver Anthropic/hh-rlhf from http://127.0.0.1")
    assert "suite.path=" in error
    assert "suite=imdb-sentiment" in error
