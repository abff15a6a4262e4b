"""Files of LLaMA-Factory load as a user's own file."""

import json

import pytest

import suites
from suites import Example, Message
from suites.reading.sharegpt import own_columns

TURNS = [{"from": "human", "value": "茶还是咖啡？"}]
GOOD, BAD = ({"from": "gpt", "value": text} for text in ("茶。", "不。"))
PAIR = {"conversations": TURNS, "chosen": GOOD, "rejected": BAD}
JUDGED = {"messages": [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Yes."}], "label": False}


def load(folder, rows):
    path = folder / "mine.json"
    path.write_text(json.dumps(rows))
    return suites.load(str(path))


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
