"""Transcripts are cut at the last shared assistant turn; dirty rows are dropped by rule and counted."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import suites
from suites import Message, SuiteError, split_of
from suites.public.hh_rlhf import split_transcripts
from suites.reading.cleaning import RowDropped


def say(*turns: str) -> str:
    """A transcript in the data set's form, from "H: ..." and "A: ..." turns."""
    names = {"H": "Human", "A": "Assistant"}
    return "".join(f"\n\n{names[turn[0]]}: {turn[3:]}" for turn in turns)


def write_split(path: Path, rows: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps({"chosen": chosen, "rejected": rejected}) + "\n" for chosen, rejected in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def rows_about(questions: list[str]) -> list[tuple[str, str]]:
    return [(say(f"H: {question}", "A: yes"), say(f"H: {question}", "A: no")) for question in questions]


def test_the_prompt_is_everything_before_the_last_shared_assistant_turn():
    shared = ("H: Hi", "A:  Hello! ", "H: Tea\n\nor coffee?")
    prompt, chosen, rejected = split_transcripts(say(*shared, "A: Tea. "), say(*shared, "A: Tea.\n\nOr coffee."))
    assert prompt == (
        Message("user", "Hi"),
        Message("assistant", "Hello!"),
        Message("user", "Tea\n\nor coffee?"),
    )
    assert (chosen, rejected) == ("Tea.", "Tea.\n\nOr coffee.")


def test_neighbouring_turns_of_one_speaker_become_one_message():
    shared = ("H: Hi", "A: Hm.", "A: Hello.", "H: Tea?")
    prompt, _, _ = split_transcripts(say(*shared, "A: Yes"), say(*shared, "A: No"))
    assert [message.content for message in prompt] == ["Hi", "Hm.\n\nHello.", "Tea?"]


DIVERGES = "diverges_before_last_turn"


@pytest.mark.parametrize(
    ("chosen", "rejected", "rule"),
    [
        (say("H: a", "A: b"), say("H: a", "A: b "), "identical"),
        (say("H: a", "A: "), say("H: a", "A: b"), "empty_side"),
        (say("H: a", "A: b"), say("H: a", "A:  \n"), "empty_side"),
        (say("H: a", "A: "), say("H: a", "A: "), "empty_side"),
        (say("H: a", "A: b", "A: c"), say("H: a", "A: d"), DIVERGES),
        (say("H: a", "A: b", "H: c", "A: d"), say("H: a", "A: x", "H: c", "A: e"), DIVERGES),
        (say("H: a", "A: b"), say("H: x", "A: c"), DIVERGES),
        (say("H: a", "A: b", "H: c"), say("H: a", "A: b", "H: d"), "malformed"),
        (say("H: a", "A: b", "A: c"), say("H: a", "A: b", "A: d"), "malformed"),
        (say("A: b"), say("A: c"), "malformed"),
        (say("H: ", "A: b"), say("H: ", "A: c"), "malformed"),
        ("no turns", say("H: a", "A: c"), "malformed"),
        ("", "", "malformed"),
    ],
)
def test_each_dirty_row_falls_under_its_rule_whichever_side_is_dirty(chosen, rejected, rule):
    for left, right in ((chosen, rejected), (rejected, chosen)):
        with pytest.raises(RowDropped) as dropped:
            split_transcripts(left, right)
        assert dropped.value.rule == rule


def test_an_answer_that_begins_with_the_other_is_a_real_preference():
    _, chosen, rejected = split_transcripts(say("H: Thanks", "A: Sure."), say("H: Thanks", "A: Sure. Bye!"))
    assert (chosen, rejected) == ("Sure.", "Sure. Bye!")


TEXT = st.text(st.characters(codec="utf-8"), min_size=1).map(str.strip).filter(bool)
TEXT = TEXT.filter(lambda text: "\n\n" not in text)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=3), TEXT, TEXT, TEXT)
def test_a_clean_conversation_is_recovered_turn_by_turn(history, question, good, bad):
    turns = [part for asked, answered in history for part in (f"H: {asked}", f"A: {answered}")]
    turns.append(f"H: {question}")
    left, right = say(*turns, f"A: {good}"), say(*turns, f"A: {bad}")
    if good == bad:
        with pytest.raises(RowDropped):
            split_transcripts(left, right)
        return
    prompt, chosen, rejected = split_transcripts(left, right)
    assert (chosen, rejected) == (good, bad)
    assert [message.content for message in prompt] == [turn[3:] for turn in turns]


def test_real_test_files_are_cleaned_with_these_counts(hh_folder):
    # Counted by hand over the 14 rows that part early: in 6 the chosen transcript goes on past the shared
    # assistant turn, in 8 the rejected one. 12 pairs keep an answer that begins with the other; with the 8 empty
    # sides, one transcript is the beginning of the other in 20.
    expected = {
        "helpful-base": (2354, 11, {"identical": 2, "empty_side": 4, "diverges_before_last_turn": 9}),
        "harmless-base": (2312, 1, {"empty_side": 4, "diverges_before_last_turn": 5}),
    }
    for subset, (read, prefix, dropped) in expected.items():
        suite = suites.load("hh-rlhf", {"path": str(hh_folder), "subset": subset})
        assert (suite.read, dict(suite.dropped)) == (read, dropped)
        assert suites.audit.audit(suite).prefix == prefix
        assert {row.split for row in suite.rows} == {"train", "validation", "test"}
        assert all(row.split == split_of(suites.first_human_turn(row.prompt)) for row in suite.rows)
        assert all(row.chosen == row.chosen.strip() != row.rejected for row in suite.rows)
        assert not any(
            "\n\nHuman:" in answer or "\n\nAssistant:" in answer
            for row in suite.rows
            for answer in (row.chosen, row.rejected)
        )


def test_without_a_subset_all_folders_are_read_and_one_folder_is_enough(hh_folder):
    both = suites.load("hh-rlhf", {"path": str(hh_folder)})
    alone = suites.load("hh-rlhf", {"path": str(hh_folder / "helpful-base")})
    named = suites.load("hh-rlhf", {"path": str(hh_folder), "subset": "helpful-base"})
    assert alone == named
    assert both.read == 4666
    assert both.rows[-len(alone.rows) :] == alone.rows
    assert str(hh_folder) not in both.source


def test_train_and_test_files_keep_their_splits_and_leaks_are_counted(tmp_path):
    questions = [f"question {number}" for number in range(400)]
    write_split(tmp_path / "helpful-base" / "train.jsonl", rows_about([*questions, "held out"]))
    write_split(tmp_path / "helpful-base" / "test.jsonl.gz", rows_about(["held out", "other"]))
    suite = suites.load("hh-rlhf", {"path": str(tmp_path)})
    splits = Counter(row.split for row in suite.rows)
    assert suite.dropped == {"leaks_into_test": 1}
    assert splits["test"] == 2
    assert splits["train"] + splits["validation"] == 400
    assert 20 <= splits["validation"] <= 60
    assert suite.rows[-1].id == "helpful-base/test/1"


def test_the_subset_without_pairs_is_left_out(tmp_path):
    write_split(tmp_path / "helpful-base" / "test.jsonl", rows_about(["a"]))
    write_split(tmp_path / "red-team-attempts" / "train.jsonl", rows_about(["b"]))
    assert suites.load("hh-rlhf", {"path": str(tmp_path)}).read == 1
    with pytest.raises(SuiteError, match="holds no pairs; choose one of harmless-base"):
        suites.load("hh-rlhf", {"path": str(tmp_path), "subset": "red-team-attempts"})


def test_a_changed_file_is_another_revision(tmp_path):
    revisions = set()
    for questions in (["a", "b"], ["a", "c"], ["a", "b"]):
        write_split(tmp_path / "helpful-base" / "test.jsonl", rows_about(questions))
        revisions.add(suites.load("hh-rlhf", {"path": str(tmp_path)}).revision)
    assert len(revisions) == 2


def test_wrong_paths_and_subsets_say_what_is_there(tmp_path):
    def load(**settings: str) -> None:
        suites.load("hh-rlhf", settings)

    with pytest.raises(SuiteError, match="suite.path=nowhere: no such file or folder"):
        load(path="nowhere")
    with pytest.raises(SuiteError, match="no data files there .*found: nothing"):
        load(path=str(tmp_path))
    write_split(tmp_path / "helpful-base" / "test.jsonl", rows_about(["a"]))
    with pytest.raises(SuiteError, match="no subset harmless there .*found: helpful-base/test.jsonl"):
        load(path=str(tmp_path), subset="harmless")
    with pytest.raises(SuiteError, match="suite.revision belongs to the hub"):
        load(path=str(tmp_path), revision="main")
    with pytest.raises(SuiteError, match="unknown subset 'harmless'.*allowed: harmless-base"):
        load(subset="harmless")
    write_split(tmp_path / "helpful-base" / "test.jsonl.gz", rows_about(["a"]))
    with pytest.raises(SuiteError, match="the split 'test' lies there twice: .*keep one"):
        load(path=str(tmp_path))


def test_other_columns_and_rows_that_are_all_dirty_are_errors(tmp_path):
    path = tmp_path / "helpful-base" / "test.jsonl"
    write_split(path, [(say("H: a", "A: b"), say("H: a", "A: b"))])
    with pytest.raises(SuiteError, match=r"none of 1 rows is left .*identical 1 \(first: helpful-base/test/0"):
        suites.load("hh-rlhf", {"path": str(tmp_path)})
    path.write_text('{"chosen": null, "rejected": "x"}\n')
    with pytest.raises(SuiteError, match="malformed 1 .*chosen is missing, not text"):
        suites.load("hh-rlhf", {"path": str(tmp_path)})
    path.write_text('{"transcript": "x"}\n')
    with pytest.raises(SuiteError, match="helpful-base/test.: columns found: transcript; needed: chosen, rejected"):
        suites.load("hh-rlhf", {"path": str(tmp_path)})
