"""A user's own file: the columns it may have, what is dropped, and what is an error."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import suites
from suites import Example, Message, SuiteError, cluster_of, split_of

USER = {"role": "user", "content": "Capital?"}
SYSTEM = {"role": "system", "content": "Be brief."}
GOOD, BAD = {"role": "assistant", "content": "Paris."}, {"role": "assistant", "content": "Rome."}
DIVERGES = "diverges_before_last_turn"
PAIR = {"prompt": "Capital?", "chosen": "Paris.", "rejected": "Rome."}
JUDGED = {"prompt": "Capital?", "completion": "Paris.", "label": True}


def load(folder: Path, rows: list[dict], name: str = "mine.jsonl") -> suites.Suite:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return suites.load(str(path), {})


def test_a_text_pair_becomes_one_user_message_and_two_answers(tmp_path):
    suite = load(tmp_path, [PAIR])
    row = suite.rows[0]
    assert (suite.name, suite.kind, suite.source) == ("mine", "pairs", "mine.jsonl")
    assert (row.prompt, row.chosen, row.rejected) == ((Message("user", "Capital?"),), "Paris.", "Rome.")
    assert (row.id, row.split, row.cluster) == ("row-1", split_of("Capital?"), cluster_of("Capital?"))
    assert len(suite.revision) == 12


def test_text_is_kept_as_it_is_written(tmp_path):
    row = load(tmp_path, [PAIR | {"chosen": " Paris\n"}]).rows[0]
    assert row.chosen == " Paris\n"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [SYSTEM, USER], "chosen": "Paris.", "rejected": "Rome."},
        {"prompt": [SYSTEM, USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Capital?", "chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD]},
        {"chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD]},
    ],
)
def test_every_form_of_messages_gives_the_same_pair(tmp_path, row):
    pair = load(tmp_path, [row]).rows[0]
    assert pair.prompt == (Message("system", "Be brief."), Message("user", "Capital?"))
    assert (pair.chosen, pair.rejected) == ("Paris.", "Rome.")


@pytest.mark.parametrize(
    ("label", "desirable"),
    [(True, True), (False, False), (1, True), (0, False), ("True", True), ("0", False), (1.0, True)],
)
def test_judged_answers_become_examples(tmp_path, label, desirable):
    suite = load(tmp_path, [JUDGED | {"label": label}])
    assert suite.kind == "examples"
    assert isinstance(suite.rows[0], Example)
    assert suite.rows[0].desirable is desirable


def test_optional_columns_are_taken_over(tmp_path):
    extras = {"id": 7, "split": "dev", "cluster": "topic", "score_chosen": "4.5", "score_rejected": 2}
    row = load(tmp_path, [PAIR | extras]).rows[0]
    assert (row.id, row.split, row.cluster) == ("7", "validation", "topic")
    assert (row.score_chosen, row.score_rejected) == (4.5, 2.0)


def test_empty_optional_cells_are_missing_values(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("prompt,chosen,rejected,id,split,cluster,score_chosen\nCapital?,Paris.,Rome.,,,,\n")
    row = suites.load(str(path), {}).rows[0]
    assert (row.id, row.split, row.score_chosen) == ("row-1", split_of("Capital?"), None)
    assert row.cluster == cluster_of("Capital?")


def test_rows_of_one_cluster_land_in_one_split(tmp_path):
    rows = [PAIR | {"prompt": f"question {number}", "cluster": "topic"} for number in range(30)]
    assert len({row.split for row in load(tmp_path, rows).rows}) == 1


def test_tables_written_by_pandas_are_read(tmp_path):
    import pandas as pd

    frame = pd.DataFrame([PAIR | {"score_chosen": 1.0}, PAIR | {"prompt": "Other?", "score_chosen": None}])
    frame.to_parquet(tmp_path / "mine.parquet")
    frame.to_csv(tmp_path / "mine.csv", index=False)
    parquet, csv = (suites.load(str(tmp_path / name), {}) for name in ("mine.parquet", "mine.csv"))
    assert parquet.rows == csv.rows
    assert [row.score_chosen for row in parquet.rows] == [1.0, None]


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (PAIR | {"chosen": " "}, "empty_side"),
        (PAIR | {"rejected": []}, "empty_side"),
        (PAIR | {"rejected": "Paris. "}, "identical"),
        (PAIR | {"prompt": "  "}, "empty_prompt"),
        (PAIR | {"prompt": None}, "empty_prompt"),
        (PAIR | {"chosen": None}, "malformed"),
        (PAIR | {"prompt": 3}, "malformed"),
        (PAIR | {"prompt": [SYSTEM]}, "empty_prompt"),
        (PAIR | {"prompt": [USER, GOOD]}, "malformed"),
        (PAIR | {"prompt": [{"role": "human", "content": "x"}]}, "malformed"),
        (PAIR | {"prompt": ["Capital?"]}, "malformed"),
        (PAIR | {"chosen": [USER]}, "malformed"),
        (PAIR | {"chosen": "Par\0is"}, "not_text"),
        (PAIR | {"prompt": "\ud800"}, "not_text"),
        ({"chosen": [USER, GOOD], "rejected": [SYSTEM, USER, BAD]}, DIVERGES),
        (PAIR | {"chosen": [SYSTEM, GOOD], "rejected": [SYSTEM, BAD]}, DIVERGES),
    ],
)
def test_a_row_that_cannot_be_used_is_dropped_by_rule_and_counted(tmp_path, row, rule):
    suite = load(tmp_path, [PAIR, row])
    assert (len(suite.rows), dict(suite.dropped), suite.read) == (1, {rule: 1}, 2)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (JUDGED | {"completion": ""}, "empty_side"),
        (JUDGED | {"label": "good"}, "malformed"),
        (JUDGED | {"label": None}, "malformed"),
        (JUDGED | {"prompt": None}, "empty_prompt"),
    ],
)
def test_a_judged_row_that_cannot_be_used_is_dropped_too(tmp_path, row, rule):
    assert dict(load(tmp_path, [JUDGED, row]).dropped) == {rule: 1}


def test_a_declared_train_row_that_is_also_in_test_is_dropped(tmp_path):
    suite = load(tmp_path, [PAIR | {"split": "train"}, PAIR | {"split": "test"}])
    assert dict(suite.dropped) == {"leaks_into_test": 1}
    assert [row.split for row in suite.rows] == ["test"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "mine.jsonl: no rows; needed: prompt, chosen, rejected"),
        ([{"question": "a", "good": "b"}], "columns found: question, good; needed: prompt, chosen, rejected"),
        ([{"chosen": "a", "rejected": "b"}], "no column 'prompt'; found: chosen, rejected"),
        ([PAIR | JUDGED], "pairs and of unpaired examples; found: prompt"),
        ([PAIR | {"id": "x"}, PAIR | {"id": "x"}], "mine.jsonl:2: id 'x' was already used at mine.jsonl:1"),
        ([PAIR | {"split": "eval"}], "mine.jsonl:1: split 'eval' is not known"),
        ([PAIR | {"score_chosen": "high"}], "mine.jsonl:1: score_chosen 'high' is not a finite number"),
        ([PAIR | {"score_chosen": True}], "score_chosen 'True' is not a finite number"),
        ([PAIR | {"score_rejected": 10**400}], "score_rejected '1000.*is not a finite number"),
        ([PAIR | {"cluster": ["a"]}], "cluster .* is neither text nor a whole number"),
        ([PAIR | {"chosen": "Rome."}] * 2, r"none of 2 rows is left .*identical 2 \(first: mine.jsonl:1"),
    ],
)
def test_what_concerns_the_whole_file_is_one_clear_error(tmp_path, rows, words):
    with pytest.raises(SuiteError, match=words):
        load(tmp_path, rows)


def test_a_missing_file_and_an_unknown_ending_are_errors(tmp_path):
    with pytest.raises(SuiteError, match="no such file: nowhere.jsonl"):
        suites.load("nowhere.jsonl", {})
    with pytest.raises(SuiteError, match=r"unknown suite 'pairs.txt'.* file of your own \(.jsonl"):
        suites.load("pairs.txt", {})


@pytest.mark.parametrize("name", ["mine.jsonl", "My.Pairs.JSONL", "p.a.jsonl"])
def test_a_suite_is_called_like_its_file(tmp_path, name):
    assert load(tmp_path, [PAIR], name).name == name[: -len(".jsonl")]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["role", "content"]), inner),
    max_leaves=4,
)


ROWS = st.dictionaries(st.sampled_from(["prompt", "chosen", "rejected", "label"]), VALUES)


@given(st.lists(ROWS, max_size=3))
def test_no_row_leads_to_anything_but_a_suite_or_a_suite_error(tmp_path_factory, rows):
    try:
        suite = load(tmp_path_factory.mktemp("rows"), [PAIR, *rows])
    except SuiteError:
        return
    assert suite.read == len(rows) + 1 == len(suite.rows) + sum(suite.dropped.values())
