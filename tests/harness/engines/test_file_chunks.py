"""Files in chunks: what arrives is what was sent, cells are replaced whole, and no name leads out of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engines import file_chunks
from harness.engines.file_chunks import Chunk, cell_files, chunks, deliver, keep, put


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_files_arrive_as_they_were_sent_however_small_the_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(file_chunks, "CHUNK_BYTES", 4)
    here = written(tmp_path / "here", a_json="ten letters", model__b_txt="12345678", empty_txt="")
    for chunk in chunks(here, cell_files(here, model=True)):
        assert len(chunk.content) <= 4
        put(tmp_path / "there", chunk)
    assert content(tmp_path / "there") == content(here)


def test_a_cells_files_are_told_from_what_is_at_work_there(tmp_path):
    cell = written(tmp_path, row_json="{}", claim_json="{}", checkpoint__x_json="1", model__w_txt="2")
    written(tmp_path / ".parcel.tmp", row_json="half")
    names = lambda model: [path.name for path in cell_files(cell, model=model)]  # noqa: E731
    assert names(True) == ["w.txt", "row.json"] and names(False) == ["row.json"]


def test_a_delivered_cell_is_what_arrived_and_keeps_claim_and_model(tmp_path):
    cell = written(tmp_path / "cell", row_json="old", pairs_txt="old", claim_json="mine", model__w_txt="old")
    deliver(written(cell / ".parcel.tmp", row_json="new", log_txt="new"), cell)
    assert content(cell) == {"row.json": "new", "log.txt": "new", "claim.json": "mine", "model/w.txt": "old"}
    deliver(written(cell / ".parcel.tmp", row_json="newer", model__v_txt="new"), cell)
    assert content(cell) == {"row.json": "newer", "claim.json": "mine", "model/v.txt": "new"}


def test_the_row_is_moved_last_so_that_a_cut_leaves_no_finished_cell(tmp_path, monkeypatch):
    cell = written(tmp_path / "cell", row_json="old", log_txt="old")
    arrived = written(cell / ".parcel.tmp", row_json="new", log_txt="new", pairs_txt="new")
    real, moved = file_chunks.os.replace, []

    def cut(source, target):
        if len(moved) == 1:
            raise KeyboardInterrupt
        moved.append(Path(target).name)
        real(source, target)

    monkeypatch.setattr(file_chunks.os, "replace", cut)
    with pytest.raises(KeyboardInterrupt):
        deliver(arrived, cell)
    assert moved != ["row.json"] and not (cell / "row.json").exists()


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../x", ""])
def test_a_name_that_leads_out_of_the_folder_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="no name of a file"):
        put(tmp_path / "in", Chunk(name, 0, b"x"))
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_cache_keeps_what_it_has(tmp_path):
    cache = written(tmp_path / "cache", a__known_txt="here")
    keep(written(tmp_path / "received", a__known_txt="other", b__new_txt="new"), cache)
    assert content(cache) == {"a/known.txt": "here", "b/new.txt": "new"}
