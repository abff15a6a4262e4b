"""Things that can be made again: whole or absent, and read once."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cache import building, cache_folder, remembered_sha256, sha256_of_file, writing
from harness.errors import UsageError


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "model"
    with pytest.raises(RuntimeError), building(target) as temporary:
        (temporary / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with building(target) as temporary:
        (temporary / "whole").write_text("x")
    assert [p.name for p in target.iterdir()] == ["whole"]


def test_the_second_builder_of_the_same_folder_drops_its_copy(tmp_path):
    target = tmp_path / "model"
    with building(target) as slower:
        (slower / "file").write_text("slower")
        with building(target) as faster:
            (faster / "file").write_text("faster")
    assert (target / "file").read_text() == "faster"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_file_keeps_its_old_content_when_writing_fails(tmp_path):
    path = tmp_path / "note"
    path.write_text("old")
    with pytest.raises(RuntimeError), writing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_digest_is_remembered_and_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    first = remembered_sha256(path)
    assert first == sha256_of_file(path) == remembered_sha256(path)
    path.write_bytes(b"two!")
    assert remembered_sha256(path) == sha256_of_file(path) != first


def test_what_a_killed_process_left_is_removed_when_the_same_is_written_again(tmp_path):
    path = tmp_path / "note"
    code = (
        "import os, pathlib, sys; from harness.cache import writing, building\n"
        "place = pathlib.Path(sys.argv[1])\n"
        "with building(place / 'folder'), writing(place / 'note'): os._exit(9)"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root).returncode == 9
    assert len(list(tmp_path.iterdir())) == 2
    with writing(path) as mine, writing(path) as other:  # of a living process nothing is touched
        mine.write_text("x")
        assert other.is_file() and len(list(tmp_path.glob(".note*"))) == 2
    with building(tmp_path / "folder"):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "note"]


def test_a_digest_that_a_power_cut_left_empty_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights"
    file.write_text("w")
    whole = remembered_sha256(file)
    (note,) = (tmp_path / "cache" / "digests").iterdir()
    for spoilt in ("", "{}", "[]"):
        note.write_text(spoilt)
        assert remembered_sha256(file) == whole == sha256_of_file(file)
        assert "sha256" in note.read_text()


def test_a_cache_that_cannot_be_made_says_how_to_name_another(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot be made .*; set PREFERENCE_HARNESS_CACHE to a folder"):
        cache_folder("digests")
