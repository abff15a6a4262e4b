"""The benchmark of large sets: its file is the same every time, and each stage is measured."""

from __future__ import annotations

import gzip
import io
import json

import pytest

import suites
from benchmarks.data import KEYS, SUBSET, lines, main, read, stages, write_pairs
from harness.errors import UsageError


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """The tiny model is made once, and nothing of the user's cache is read or written."""
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path):
    sizes = [write_pairs(tmp_path / f"{n}.jsonl.gz", 100, seed) for n, seed in enumerate((0, 0, 1))]
    first, again, other = ((tmp_path / f"{n}.jsonl.gz").read_bytes() for n in range(3))
    assert first == again != other and sizes[0] == sizes[1] == len(gzip.decompress(first))


def test_every_stage_is_measured_and_the_rows_are_as_promised(tmp_path):
    size = write_pairs(tmp_path / SUBSET / "test.jsonl.gz", 200)
    found = stages(str(tmp_path), "tiny", io.StringIO())
    assert list(found["stages"]) == ["start", "load", "audit", "tokenise"]
    assert all(one["cpu_seconds"] > 0 and one["peak_memory_bytes"] > 50e6 for one in found["stages"].values())
    assert (found["read"], found["kept"]) == (200, 198)  # one in a hundred has equal completions
    assert suites.load("hh-rlhf", {"path": str(tmp_path)}).dropped == {"identical": 2}
    shown = "\n".join(lines(found | {"file_bytes": size}))
    assert "| load to tokenise |" in shown and "200 pairs read" in shown


@pytest.mark.parametrize(("seconds", "verdict"), [(10.0, "passed"), (61.0, "FAILED")])
def test_the_verdict_is_of_all_stages_together_but_the_start(seconds, verdict):
    one = {"seconds": seconds, "cpu_seconds": 1.0, "peak_memory_bytes": 2**30}
    found = {
        "stages": {"start": one | {"seconds": 500.0}, "load": one, "audit": one, "tokenise": one},
        "read": 100_000,
        "kept": 1,
        "overlong": 0,
        "prompt_tokens": 6.0,
        "answer_tokens": 4.0,
        "file_bytes": 1,
    }
    assert lines(found)[-1].startswith(f"check {verdict}")


def test_wrong_words_are_refused_all_at_once(capsys):
    with pytest.raises(UsageError) as refused:
        read(["pairs=10", "model=tiny", "pair=3"])
    assert len(refused.value.messages) == 2
    assert main(["pairs=10"]) == 2
    assert "pairs" in capsys.readouterr().err
    assert set(KEYS) == {"pairs", "model", "out"}


@pytest.mark.slow
def test_the_command_measures_in_a_process_of_its_own_and_keeps_the_raw_numbers(tmp_path, capsys):
    out = tmp_path / "raw.json"
    assert main(["pairs=1000", "model=tiny", f"out={out}"]) == 0
    assert "| tokenise |" in capsys.readouterr().out
    assert json.loads(out.read_text())["kept"] == 990
