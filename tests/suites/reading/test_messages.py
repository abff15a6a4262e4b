"""Prompts and answers as text or messages, and the files of LLaMA-Factory as a user's own."""

import json

import pytest

import suites
from suites import Example, Message
from suites.reading.cleaning import RowDropped
from suites.reading.messages import Side, own_columns, read_messages, read_prompt, read_side, shared_prompt

TURNS = [{"from": "human", "value": "茶还是咖啡？"}]
GOOD, BAD = ({"from": "gpt", "value": text} for text in ("茶。", "不。"))
PAIR = {"conversations": TURNS, "chosen": GOOD, "rejected": BAD}
JUDGED = {"messages": [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Yes."}], "label": False}

SYSTEM, USER = Message("system", "Be brief."), Message("user", "Tea?")
ASKED = {"role": "user", "content": "Tea?"}
SAID = {"role": "assistant", "content": "Yes."}


def load(folder, rows):
    path = folder / "mine.json"
    path.write_text(json.dumps(rows))
    return suites.load(str(path))


def rule_of(call, *values):
    with pytest.raises(RowDropped) as dropped:
        call(*values)
    return dropped.value.rule


def test_a_prompt_is_text_messages_or_nothing():
    assert read_prompt(None) == ()
    assert read_prompt(" Tea?\n") == (Message("user", " Tea?\n"),)
    assert read_prompt([{"role": "system", "content": "Be brief."}, ASKED]) == (SYSTEM, USER)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (" \n", "empty_prompt"),
        ([], "empty_prompt"),
        ([{"role": "system", "content": "Be brief."}], "empty_prompt"),
        (5, "malformed"),
        ("a\0", "not_text"),
    ],
)
def test_a_prompt_that_asks_nothing_is_dropped_by_its_rule(value, rule):
    assert rule_of(read_prompt, value) == rule


def test_a_side_is_text_one_message_or_a_conversation_that_ends_with_the_answer():
    assert read_side("Yes.", "chosen") == Side((), "Yes.")
    assert read_side(SAID, "chosen") == Side((), "Yes.")
    assert read_side([ASKED, SAID], "chosen") == Side((USER,), "Yes.")


@pytest.mark.parametrize(
    ("value", "rule"), [([], "empty_side"), ([SAID, ASKED], "malformed"), (None, "malformed"), ("\ud800", "not_text")]
)
def test_a_side_without_an_answer_is_dropped_by_its_rule(value, rule):
    assert rule_of(read_side, value, "chosen") == rule


def test_the_prompt_of_two_sides_is_the_column_or_what_leads_to_both():
    whole = Side((SYSTEM, USER), "Yes.")
    assert shared_prompt((USER,), Side((), "Yes."), Side((), "No.")) == (USER,)
    assert shared_prompt((), whole, whole._replace(answer="No.")) == (SYSTEM, USER)
    assert shared_prompt((USER,), whole) == (SYSTEM, USER)  # the column repeats the last turn alone


@pytest.mark.parametrize(
    ("prompt", "leads", "rule"),
    [
        ((), [(USER,), (SYSTEM, USER)], "diverges_before_last_turn"),
        ((Message("user", "Milk?"),), [(USER,)], "diverges_before_last_turn"),
        ((), [()], "empty_prompt"),
        ((), [(USER, Message("assistant", "Which?"))], "malformed"),
        ((), [(SYSTEM,)], "malformed"),
    ],
)
def test_sides_without_one_prompt_are_dropped_by_their_rule(prompt, leads, rule):
    assert rule_of(shared_prompt, prompt, *(Side(lead, "Yes.") for lead in leads)) == rule


def test_messages_of_both_forms_are_read_and_other_keys_ignored():
    mixed = [{"from": "human", "value": "Tea?", "weight": 1}, {"role": "assistant", "content": "Yes.", "name": "x"}]
    assert read_messages(mixed, "prompt") == (USER, Message("assistant", "Yes."))


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"role": "user"}, "message 1 of prompt is not an object with role and content"),
        ("Tea?", "message 1 of prompt is not an object with role and content"),
        ({"role": "human", "content": "Tea?"}, "role 'human' in prompt is not one of system, user, assistant"),
        ({"role": ["user"], "content": "Tea?"}, r"role \"\['user'\]\" in prompt"),
        ({"role": "user", "content": None}, "message 1 of prompt is missing, not text"),
    ],
)
def test_what_is_no_message_is_told_with_its_place(item, words):
    with pytest.raises(RowDropped, match=words):
        read_messages([item], "prompt")


def test_conversations_are_the_prompt_of_two_answers(tmp_path):
    rows = [PAIR, {**PAIR, "system": "简短。"}, {**PAIR, "system": " "}]
    first, second, third = load(tmp_path, rows).rows
    assert first.prompt == (Message("user", "茶还是咖啡？"),)
    assert (first.chosen, first.rejected) == ("茶。", "不。")
    assert second.prompt == (Message("system", "简短。"), *first.prompt)
    assert third.prompt == first.prompt


@pytest.mark.parametrize("label", ["label", "kto_tag"])
def test_messages_with_a_label_are_judged_answers(tmp_path, label):
    (row,) = load(tmp_path, [{"messages": JUDGED["messages"], label: False}]).rows
    assert isinstance(row, Example)
    assert (row.prompt, row.completion, row.desirable) == ((Message("user", "Tea?"),), "Yes.", False)


def test_dirty_turns_are_dropped_by_their_rule(tmp_path):
    unknown = [{"from": "tool", "value": "x"}]
    spoiled = ({"conversations": unknown}, {"chosen": {"from": "gpt"}}, {"conversations": []})
    rows = [PAIR, *({**PAIR, **wrong} for wrong in spoiled)]
    assert dict(load(tmp_path, rows).dropped) == {"malformed": 2, "empty_prompt": 1}


def test_other_rows_are_left_alone():
    own = {"prompt": "a", "messages": [], "chosen": "b", "rejected": "c"}
    assert own_columns(own) == own
    assert own_columns({"messages": "x", "label": 1}) == {"messages": "x", "label": 1}
