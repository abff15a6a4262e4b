"""The hub path, against a look-alike on loopback: download, offline reload, and clear failures.

Each load runs in its own process with its own HF_HOME, because the hub libraries read the environment
when they are imported.
"""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

import suites
from tests.hub import commit_of

LOAD = """
import json, sys, time
from dataclasses import asdict
time.sleep = lambda seconds: None  # the hub client waits between its retries
import suites
found = []
for name, settings in json.loads(sys.argv[1]):
    try:
        suite = suites.load(name, settings)
        found.append({"rows": [asdict(row) for row in suite.rows], "read": suite.read,
                      "revision": suite.revision, "source": suite.source})
    except suites.SuiteError as error:
        found.append({"error": str(error)})
print(json.dumps(found))
"""
SUBSET = {"subset": "helpful-base"}


def load_all(home: Path, asked: list[tuple[str, dict]], **environment: str) -> list[dict]:
    """What loading each suite gives in a fresh process: the suite's fields, or {"error": message}."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(asked)],
        env={**clean, "HF_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def load(home: Path, settings: dict, **environment: str) -> dict:
    """What loading hh-rlhf gives in a fresh process."""
    return load_all(home, [("hh-rlhf", settings)], **environment)[0]


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
    assert time.monotonic() - start < 60  # the client's own retries take minutes
    assert error.startswith("the hub could not deliver Anthropic/hh-rlhf from http://127.0.0.1")
    assert "suite.path=" in error
    assert "suite=imdb-sentiment" in error


def parquet(rows: list[dict]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


ULTRA = "HuggingFaceH4/ultrafeedback_binarized"
CARD = b"""---
configs:
- config_name: default
  data_files:
  - {split: train_prefs, path: data/train_prefs-*}
  - {split: test_prefs, path: data/test_prefs-*}
- config_name: other
  data_files: [{split: train_sft, path: data/train_sft-*}]
---
"""


def rated(questions: list[str]) -> bytes:
    def messages(question: str, answer: str) -> list[dict]:
        return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    return parquet(
        [
            {
                "prompt": q,
                "chosen": messages(q, "Yes."),
                "rejected": messages(q, "No."),
                "score_chosen": 9.0,
                "score_rejected": 2.0,
            }
            for q in questions
        ]
    )


RATED = {
    "README.md": CARD,
    "data/train_prefs-00000-of-00002.parquet": rated(["a", "b", "c"]),
    "data/train_prefs-00001-of-00002.parquet": rated(["d", "e"]),
    "data/test_prefs-00000-of-00001.parquet": rated(["f", "g"]),
    "data/train_sft-00000-of-00001.parquet": parquet([{"messages": "not preferences"}]),
}


@pytest.fixture(scope="module")
def downloaded_parquet(serve_hub, tmp_path_factory):
    """(home, suite, suite at another branch) after downloads of a Parquet set with two shards."""
    home = tmp_path_factory.mktemp("home")
    old = {**RATED, "data/test_prefs-00000-of-00001.parquet": rated(["an older question"])}
    with serve_hub(RATED, ULTRA, branches={"v1": old}) as endpoint:
        asked = [("ultrafeedback", {}), ("ultrafeedback", {"revision": "v1"})]
        return home, *load_all(home, asked, HF_ENDPOINT=endpoint)


def as_found(suite: suites.Suite) -> dict:
    """A suite in the form that a fresh process reports."""
    rows = json.loads(json.dumps([asdict(row) for row in suite.rows]))
    return {"rows": rows, "read": suite.read, "revision": suite.revision, "source": suite.source}


def use_cache(monkeypatch, home: Path) -> None:
    """Let this process, which is offline, look into the cache of another home."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))


def test_shards_and_splits_of_a_parquet_set_come_in_order(downloaded_parquet, hub_commit):
    _, suite, _ = downloaded_parquet
    assert (suite["revision"], suite["source"], suite["read"]) == (hub_commit, ULTRA, 7)
    assert [row["id"] for row in suite["rows"]] == [
        *(f"train_prefs/{number}" for number in range(5)),
        "test_prefs/0",
        "test_prefs/1",
    ]
    assert [row["prompt"][0]["content"] for row in suite["rows"]] == list("abcdefg")
    assert suite["rows"][0]["score_chosen"] == 9.0


def test_a_revision_pins_the_rows_and_its_commit_is_recorded(downloaded_parquet, monkeypatch):
    home, new, old = downloaded_parquet
    assert old["revision"] == commit_of("v1") != new["revision"]
    assert old["rows"][-1]["prompt"][0]["content"] == "an older question"
    use_cache(monkeypatch, home)
    assert as_found(suites.load("ultrafeedback", {"revision": commit_of("v1")})) == old


def test_the_offline_cache_and_a_folder_give_the_same_parquet_rows(
    downloaded_parquet, hub_commit, tmp_path, monkeypatch
):
    home, new, _ = downloaded_parquet
    use_cache(monkeypatch, home)
    assert as_found(suites.load("ultrafeedback", {"revision": hub_commit})) == new
    for name, content in RATED.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert as_found(suites.load("ultrafeedback", {"path": str(tmp_path)}))["rows"] == new["rows"]


@pytest.mark.parametrize("lost", ["train_prefs-00001-of-00002", "test_prefs-00000-of-00001"])
def test_a_cache_that_lacks_a_shard_or_a_split_is_not_used(downloaded_parquet, hub_commit, tmp_path, monkeypatch, lost):
    copy = shutil.copytree(downloaded_parquet[0], tmp_path / "home", symlinks=True)
    (snapshot,) = copy.glob(f"hub/datasets--*/snapshots/{hub_commit}")
    (snapshot / "data" / f"{lost}.parquet").unlink()
    use_cache(monkeypatch, copy)
    lacking = "complete train_prefs" if lost.startswith("train") else "whole copy"
    with pytest.raises(suites.SuiteError, match=f"cannot serve HuggingFaceH4.*no .*{lacking} in .*suite.path="):
        suites.load("ultrafeedback", {"revision": hub_commit})


def test_a_server_error_in_the_middle_names_the_ways_out(serve_hub, tmp_path):
    with serve_hub(RATED, ULTRA, broken=["data/test_prefs-00000-of-00001.parquet"]) as endpoint:
        (found,) = load_all(tmp_path, [("ultrafeedback", {})], HF_ENDPOINT=endpoint)
    error = found["error"]
    assert error.startswith(f"the hub could not deliver {ULTRA} from http://127.0.0.1")
    assert "suite.path=" in error


def test_an_unknown_revision_and_a_repository_without_data_are_said(serve_hub, tmp_path):
    with serve_hub({"README.md": b"", "notes.txt": b""}, ULTRA) as endpoint:
        asked = [("ultrafeedback", {"revision": "v9"}), ("ultrafeedback", {})]
        unknown, empty = (found["error"] for found in load_all(tmp_path, asked, HF_ENDPOINT=endpoint))
    assert unknown == f"{ULTRA} has no revision 'v9'; give a commit, tag or branch"
    assert empty.startswith(f"{ULTRA}: no data files (.jsonl,")
    assert "found: README.md, notes.txt" in empty


def test_a_loading_script_is_not_run_and_the_parquet_copy_is_read_where_it_is_asked_for(serve_hub, tmp_path):
    repository = "openai/webgpt_comparisons"
    row = {"question": {"full_text": "q"}, "answer_0": "a", "answer_1": "b", "score_0": 0.5, "score_1": -0.5}
    copy = {"default/train/0000.parquet": parquet([row, {**row, "answer_0": "c"}])}
    script = {"webgpt_comparisons.py": b"raise SystemExit", "README.md": b""}
    with serve_hub(script, repository, branches={"refs/convert/parquet": copy}) as endpoint:
        asked = [("webgpt", {}), ("webgpt", {"revision": "refs/convert/parquet"})]
        refused, suite = load_all(tmp_path, asked, HF_ENDPOINT=endpoint)
    error = refused["error"]
    assert "holds a loading script instead of data" in error
    assert "suite.revision=refs/convert/parquet" in error
    assert [row["chosen"] for row in suite["rows"]] == ["a", "c"]
    assert suite["revision"] == commit_of("refs/convert/parquet")
