"""Files become records, or one clear error that names the file and the line."""

import gzip
import io
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suites import SuiteError
from suites.reading import records as reading
from suites.reading.records import digest_files, read_records

ROWS = [
    {"prompt": "Höflich?", "chosen": 'a,\n"b"', "rejected": "c"},
    {"prompt": "p", "chosen": "d", "rejected": ""},
]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def json_lines(rows: list) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_every_format_gives_the_same_rows(tmp_path):
    import pandas as pd

    pd.DataFrame(ROWS).to_csv(tmp_path / "f.csv", index=False)
    pd.DataFrame(ROWS).to_parquet(tmp_path / "f.parquet")
    write(tmp_path / "f.jsonl", json_lines(ROWS))
    write(tmp_path / "f.jsonl.gz", gzip.compress(json_lines(ROWS).encode()))
    write(tmp_path / "f.json", json.dumps(ROWS, indent=1))
    for name in ("f.csv", "f.parquet", "f.jsonl", "f.jsonl.gz", "f.json"):
        assert [record.fields for record in read_records(tmp_path / name)] == ROWS, name


def test_a_json_file_may_hold_one_object_a_line(tmp_path):
    path = write(tmp_path / "train.json", json_lines(ROWS))
    assert [record.fields for record in read_records(path)] == ROWS


def test_records_know_their_line(tmp_path):
    path = write(tmp_path / "f.jsonl", '\ufeff{"a": 1}\n\n{"a": 2}\r\n')
    assert [record.where for record in read_records(path)] == ["f.jsonl:1", "f.jsonl:3"]


@pytest.mark.parametrize("name", ["f.jsonl", "f.csv", "f.parquet"])
def test_rows_are_made_as_they_are_asked_for(tmp_path, monkeypatch, name):
    import pandas as pd

    monkeypatch.setattr(reading, "CHUNK", 20)
    frame = pd.DataFrame({"a": [f"text {n} " * 200 for n in range(2_000)]})
    write_as = {"f.jsonl": "to_json", "f.csv": "to_csv", "f.parquet": "to_parquet"}[name]
    settings = {"f.jsonl": {"orient": "records", "lines": True}, "f.csv": {"index": False}, "f.parquet": {}}[name]
    getattr(frame, write_as)(tmp_path / name, **settings)
    next(read_records(tmp_path / name))  # the libraries are loaded
    tracemalloc.start()
    assert sum(1 for _ in read_records(tmp_path / name)) == 2_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.1 * frame["a"].str.len().sum()


def test_what_comes_before_a_damaged_place_is_read(tmp_path):
    records = read_records(write(tmp_path / "f.jsonl", '{"a": 1}\n{"a": \n'))
    assert next(records).fields == {"a": 1}
    with pytest.raises(SuiteError, match="f.jsonl:2"):
        next(records)


def test_a_line_separator_inside_a_text_does_not_end_the_row(tmp_path):
    path = write(tmp_path / "f.jsonl", '{"a": "one\u2028two\x85three"}\n')
    assert next(read_records(path)).fields == {"a": "one\u2028two\x85three"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("f.jsonl", '{"a": 1}\n{"a": \n', "f.jsonl:2: not valid JSON"),
        ("f.jsonl", '{"a": 1}\n[1]\n', "f.jsonl:2: a list; each row must be an object"),
        ("f.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "f.jsonl:2: not UTF-8 text"),
        ("f.jsonl", "[" * 200_000, "nested too deeply|not valid JSON"),
        ("f.json", '{"a": 1}\n{"a": \n', "f.json:2: not valid JSON"),
        ("f.json", "[1]\n[2]", "f.json:2: not valid JSON"),
        ("f.json", '{"a": 1}', "top level is a dict; it must be a list"),
        ("f.json", "[1]", "f.json item 1: a int"),
        ("f.csv", 'a,b\n1,2\n"x', "f.csv:3: not valid CSV"),
        ("f.csv", "a,b\n1,2,3\n", "f.csv:2: 3 cells, but the header names 2"),
        ("f.csv", "a,a\n1,2\n", "f.csv:1: column 'a' occurs twice"),
        ("f.parquet", "not parquet", "f.parquet: not a readable Parquet file"),
        ("f.jsonl.gz", "not gzip", "cannot be read: Not a gzipped file"),
        ("f.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 999, mtime=0)[:40], "cannot be read"),
    ],
)
def test_a_broken_file_is_one_error_that_says_where(tmp_path, name, content, words):
    with pytest.raises(SuiteError, match=words):
        list(read_records(write(tmp_path / name, content)))


def test_a_missing_path_and_a_folder_are_not_files(tmp_path):
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(SuiteError, match="no such file: .*nothing.jsonl"):
        list(read_records(tmp_path / "nothing.jsonl"))
    with pytest.raises(SuiteError, match="no such file"):
        list(read_records(tmp_path / ("x" * 5_000 + ".jsonl")))
    with pytest.raises(SuiteError, match="is a folder, not a file"):
        list(read_records(tmp_path / "folder.jsonl"))


def test_csv_takes_answers_longer_than_the_csv_modules_default(tmp_path):
    path = write(tmp_path / "f.csv", "a\n" + "x" * 200_000 + "\n")
    assert len(next(read_records(path)).fields["a"]) == 200_000


def test_the_digest_follows_content_and_name_but_not_order(tmp_path):
    one, two = write(tmp_path / "1", "one"), write(tmp_path / "2", "two")
    digest = digest_files([("a", one), ("b", two)])
    assert digest == digest_files([("b", two), ("a", one)])
    assert len({digest, digest_files([("a", two), ("b", one)]), digest_files([("a", one)])}) == 3
    assert len(digest) == 12


@given(st.binary(max_size=60), st.sampled_from(["f.jsonl", "f.json", "f.csv", "f.jsonl.gz", "f.parquet"]))
def test_no_bytes_lead_to_anything_but_rows_or_a_suite_error(tmp_path_factory, content, name):
    path = write(tmp_path_factory.mktemp("bytes") / name, content)
    try:
        records = list(read_records(path))
    except SuiteError:
        return
    assert all(isinstance(record.fields, dict) for record in records)


def valid(name: str) -> bytes:
    """Two good rows in the format of a file name."""
    if name.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), buffer)
        return buffer.getvalue()
    if name.endswith(".csv"):
        return b'prompt,chosen,rejected\n"a ""b""",c,d\n'
    text = (json.dumps(ROWS) if name.endswith(".json") else json_lines(ROWS)).encode()
    return gzip.compress(text, mtime=0) if name.endswith(".gz") else text


@pytest.mark.parametrize("name", ["f.jsonl", "f.json", "f.csv", "f.jsonl.gz", "f.parquet"])
@settings(max_examples=60)
@given(data=st.data())
def test_no_damage_to_a_file_leads_to_anything_but_rows_or_a_suite_error(tmp_path_factory, name, data):
    """One place of a good file is overwritten, cut out, or the file ends there."""
    content = valid(name)
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(start + 8, len(content))) | st.just(len(content)))
    damaged = content[:start] + data.draw(st.binary(max_size=8)) + content[end:]
    try:
        records = list(read_records(write(tmp_path_factory.mktemp("damaged") / name, damaged)))
    except SuiteError as error:
        assert name in str(error)
        return
    assert all(isinstance(record.fields, dict) for record in records)
