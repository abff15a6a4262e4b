"""A file of prompts: text or messages, each once."""

import json

import pytest

from suites import SuiteError
from suites.prompts import load_prompts


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_prompts_are_read_in_order_and_equal_ones_once(tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    rows = ({"prompt": "one", "chosen": "ignored"}, {"prompt": turns, "id": "mine"}, {"prompt": "one"})
    first, second = load_prompts(write(tmp_path / "p.jsonl", *rows))
    assert (first.id, first.text) == ("row-1", "one")
    assert (second.id, second.text, len(second.messages)) == ("mine", "c", 3)
    assert first.cluster != second.cluster


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([{"text": "x"}], "no column 'prompt'; columns found: text"),
        ([{"prompt": " "}], "the prompt is empty"),
        ([{"prompt": None}], "must hold a turn"),
        ([{"prompt": 3}], "a number, not text"),
        ([{"prompt": "a", "id": "x"}, {"prompt": "b", "id": "x"}], "id 'x' was already used at p.jsonl:1"),
        ([{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}], "to be answered"),
    ],
)
def test_what_cannot_be_asked_is_told_with_its_line(tmp_path, rows, message):
    with pytest.raises(SuiteError, match=message):
        load_prompts(write(tmp_path / "p.jsonl", *rows))
