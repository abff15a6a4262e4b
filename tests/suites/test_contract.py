"""What every suite of a public set keeps: one id a row on every way, errors in words, dirty rows counted."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import suites
from suites import SuiteError
from tests.suites.samples import FILE_OF, SAMPLES, Sample

each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=str)


def write(folder: Path, sample: Sample, rows: list, ending: str = ".jsonl") -> Path:
    path = folder / (FILE_OF.get(sample.suite, "train") + ending)
    path.parent.mkdir(parents=True, exist_ok=True)
    if ending == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif ending == ".json":
        path.write_text(json.dumps(rows))
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(text) if ending.endswith(".gz") else text)
    return path


def load(path: Path, sample: Sample) -> suites.Suite:
    return suites.load(sample.suite, {**sample.settings, "path": str(path)})


def test_every_public_set_has_rows_here():
    public = {name for name in suites.names() if "path" in suites.get(name).settings}
    assert public <= {sample.suite for sample in SAMPLES}
    assert all(suites.get(name).hub for name in public - {"pandalm"})


@each_sample
def test_every_way_to_the_rows_gives_the_same_rows(sample, tmp_path):
    first = None
    for number, ending in enumerate((".jsonl", ".jsonl.gz", ".json", ".parquet")):
        folder = tmp_path / str(number)
        path = write(folder, sample, sample.rows, ending)
        for way in (path, folder, path.parent):
            suite = load(way, sample)
            first = first or suite
            assert suite.rows == first.rows
            assert str(tmp_path) not in suite.source
    assert not first.dropped
    assert first.read == len(first.rows) >= 2 or sample.suite == "oasst"


@each_sample
def test_the_better_answer_is_chosen(sample, tmp_path):
    suite = load(write(tmp_path, sample, sample.rows), sample)
    for row in suite.rows:
        if suite.kind == "pairs":
            assert row.score_chosen is None or row.score_chosen > row.score_rejected
            assert row.chosen.strip() not in ("No.", "Never.", "Weiß nicht.", "Nothing.", "News.")
        else:
            assert row.desirable == row.completion.startswith("Yes")


@each_sample
def test_missing_columns_name_those_found_and_those_needed(sample, tmp_path):
    with pytest.raises(SuiteError, match=r"columns found: wrong, stranger; needed: "):
        load(write(tmp_path, sample, [{"wrong": 1, "stranger": 2}]), sample)


@each_sample
def test_no_rows_at_all_is_said(sample, tmp_path):
    with pytest.raises(SuiteError, match="no rows"):
        load(write(tmp_path, sample, []), sample)


WRONG = (
    None,
    5,
    -1.5,
    float("nan"),
    True,
    "",
    " ",
    "a\0b",
    "\ud800",
    [],
    {},
    [None],
    [{}],
    "xxx",
    [["y"]],
    {"text": [1]},
)


@each_sample
def test_a_wrong_value_anywhere_is_a_counted_drop_or_a_clear_error(sample, tmp_path):
    """Each field of the first row, and each field inside its lists and objects, replaced by each wrong value."""
    for number, row in enumerate(_spoiled(sample.rows[0])):
        rows = [row, *sample.rows[1:]]
        path = write(tmp_path / str(number), sample, rows)
        try:
            suite = load(path, sample)
        except SuiteError:
            continue
        assert suite.read == len(suite.rows) + sum(suite.dropped.values())


def _spoiled(value: object):
    """All copies of a row with one value in it replaced."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {other: kept for other, kept in value.items() if other != key}
            for wrong in (*WRONG, *_spoiled(inner)):
                yield {**value, key: wrong}
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            for wrong in _spoiled(inner):
                yield [*value[:place], wrong, *value[place + 1 :]]


WORDS = st.sampled_from(("", "Yes", "user", "\ud800", "a"))
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | WORDS
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("role", "content", "text", "score", "rank", "votes", "replies", "message_id")),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@each_sample
@settings(max_examples=25)
@given(data=st.data())
def test_no_record_leads_to_anything_but_rows_or_a_suite_error(sample, tmp_path_factory, data):
    row = dict(sample.rows[0])
    for column in data.draw(st.sets(st.sampled_from(sorted(row)), min_size=1)):
        row[column] = data.draw(VALUES)
    path = write(tmp_path_factory.mktemp("rows"), sample, [row, sample.rows[-1]])
    try:
        suite = load(path, sample)
    except SuiteError as error:
        assert str(error)
        return
    assert suite.read == len(suite.rows) + sum(suite.dropped.values())


@pytest.mark.parametrize("sample", [one for one in SAMPLES if one.suite in ("hh-rlhf", "shp", "tldr")], ids=str)
def test_an_answer_of_five_megabytes_is_kept_whole(sample, tmp_path):
    long = json.dumps(sample.rows).replace("Yes, tea.", "Tea. " * 1_000_000).replace(' Tea."', ' Tea"')
    suite = load(write(tmp_path, sample, json.loads(long.replace('" Tea"', '"' + "Tea. " * 1_000_000 + '"'))), sample)
    assert max(len(row.chosen) for row in suite.rows) > 4_999_000
