"""A path to a set: folders, files, what is there and what is not."""

import gzip
import json

import pytest

import suites
from suites import SuiteError
from suites.reading.sources import recognise
from tests.suites.conftest import SHARED

ROW = {"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."}


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def load(path, **settings):
    return suites.load("tldr", {"path": str(path), **settings})


def test_what_is_not_there_is_said_with_what_is(tmp_path):
    with pytest.raises(SuiteError, match="suite.path=nowhere: no such file or folder"):
        load("nowhere")
    with pytest.raises(SuiteError, match="no such file or folder"):
        load("x" * 5_000)
    with pytest.raises(SuiteError, match="no data files there .*found: nothing"):
        load(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SuiteError, match="no data files there .*found: notes.txt"):
        load(tmp_path)
    with pytest.raises(SuiteError, match="not a file of a known format; allowed: .jsonl"):
        load(tmp_path / "notes.txt")
    (tmp_path / "train.jsonl").mkdir()
    with pytest.raises(SuiteError, match="no data files there"):
        load(tmp_path)
    with pytest.raises(SuiteError, match="suite.revision belongs to the hub"):
        load(tmp_path, revision="main")


def test_hidden_folders_and_other_files_play_no_part(tmp_path):
    write(tmp_path / "data" / "train.jsonl", [ROW])
    write(tmp_path / ".cache" / "train.jsonl", [ROW, ROW])
    (tmp_path / "README.md").write_text("x")
    assert load(tmp_path).read == 1


def test_a_broken_line_names_file_and_line(tmp_path):
    write(tmp_path / "train.jsonl", [ROW])
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"prompt": \n')
    with pytest.raises(SuiteError, match="train.jsonl:2: not valid JSON"):
        load(tmp_path)
    (tmp_path / "train.jsonl").rename(tmp_path / "test.jsonl")
    data = gzip.compress(json.dumps(ROW).encode() * 99, mtime=0)
    (tmp_path / "train.jsonl.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(SuiteError, match="train.jsonl.gz cannot be read"):
        load(tmp_path)


def test_one_split_alone_is_cut_by_the_first_human_turn(tmp_path):
    write(tmp_path / "train.jsonl", [{**ROW, "prompt": f"{number}?"} for number in range(60)])
    suite = load(tmp_path)
    assert {row.split for row in suite.rows} == {"train", "validation", "test"}
    assert all(row.split == suites.split_of(row.prompt[0].content) for row in suite.rows)


def test_a_held_out_file_is_the_test_split_and_leaks_are_counted(tmp_path):
    write(tmp_path / "train.jsonl", [{**ROW, "prompt": f"{number}?"} for number in range(60)])
    write(tmp_path / "validation.jsonl", [{**ROW, "prompt": "7?"}, ROW])
    suite = load(tmp_path)
    assert dict(suite.dropped) == {"leaks_into_test": 1}
    assert [row.id for row in suite.rows if row.split == "test"] == ["validation/0", "validation/1"]


def test_a_changed_file_is_another_revision_and_a_moved_one_is_not(tmp_path):
    write(tmp_path / "a" / "train.jsonl", [ROW])
    write(tmp_path / "b" / "train.jsonl", [ROW])
    assert load(tmp_path / "a").revision == load(tmp_path / "b" / "train.jsonl").revision
    write(tmp_path / "b" / "train.jsonl", [{**ROW, "chosen": "Sure."}])
    assert load(tmp_path / "a").revision != load(tmp_path / "b").revision


def test_forms_are_told_apart_by_their_columns():
    forms = {"first": ("a", "b"), "second": ("a",)}
    assert recognise("f", {"a": 1, "b": 2}, forms) == "first"
    assert recognise("f", {"a": 1, "c": 2}, forms) == "second"
    with pytest.raises(SuiteError, match=r"f: columns found: c; needed: a, b \(first\); or a \(second\)"):
        recognise("f", {"c": 1}, forms)


@pytest.mark.parametrize(
    ("name", "kind", "systems", "turns"),
    [("dpo_en_demo", "pairs", 80, 106), ("dpo_zh_demo", "pairs", 64, 0), ("kto_en_demo", "examples", 0, 77)],
)
def test_shared_chat_files_load_whole(name, kind, systems, turns):
    path = SHARED / "llamafactory" / f"{name}.jsonl.gz"
    if not path.is_file():
        pytest.skip("no shared/data/llamafactory beside the checkout")
    suite = suites.load(str(path))
    assert (suite.kind, suite.read, len(suite.rows), dict(suite.dropped)) == (kind, 300, 300, {})
    assert sum(row.prompt[0].role == "system" for row in suite.rows) == systems
    assert sum(len(row.prompt) > 2 for row in suite.rows) == turns
    if kind == "examples":
        assert sum(row.desirable for row in suite.rows) == 150
    if "zh" in name:
        chinese = sum(any("\u4e00" <= letter <= "\u9fff" for letter in row.chosen) for row in suite.rows)
        assert chinese > 270
