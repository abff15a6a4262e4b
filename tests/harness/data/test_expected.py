"""A sampled suite before it is sampled: which prompts, how long, and nothing to train on."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.data.expected import ANY_MARGIN, TEXT, expected
from harness.data.tokens import make_encoder
from suites import Kind, Message
from suites.sampled import Prompt, Sampled, in_hash_order


def prompt(number: int, split: str, text: str = "say") -> Prompt:
    return Prompt(f"{split}{number}", (Message("user", f"{text} {number}"),), f"c{number}", split)


PROMPTS = tuple(prompt(number, split) for split in ("train", "test") for number in range(6))


@pytest.fixture
def foresee(tokenizer):
    def of(counts, *, prompts=PROMPTS, limit=3, max_tokens=512):
        wanted = Sampled("toy", prompts, "toy", samples=4, max_new_tokens=limit, source="toys", revision="r1")
        encoder = make_encoder(tokenizer, template="auto", max_tokens=max_tokens, overlong="drop")
        return expected(wanted, counts, encoder), encoder

    return of


def test_the_first_prompts_of_each_split_in_hash_order_are_taken(foresee):
    found, encoder = foresee({"train": 4, "test": 2})
    wanted = [
        one
        for split, count in (("train", 4), ("test", 2))
        for one in in_hash_order(p for p in PROMPTS if p.split == split)[:count]
    ]
    assert [row.id for row in found.rows] == [pair.id for pair in found.suite.rows] == [one.id for one in wanted]
    assert [row.prompt for row in found.rows] == [encoder.prompt_ids(one.messages) for one in wanted]
    assert [row.cluster for row in found.rows] == [one.cluster for one in wanted]


def test_a_split_with_too_few_prompts_gives_what_it_has(foresee):
    found, _ = foresee({"train": 50, "validation": 5})
    assert Counter(row.split for row in found.rows) == {"train": 6}


def test_completions_have_the_limit_and_one_token_less_each_chosen_every_second_time(foresee):
    found, encoder = foresee({"train": 4}, limit=3)
    end = encoder.end_of_turn
    shorter, longer = (end,) * 3, (end,) * 4
    assert [tuple(map(tuple, row.completions)) for row in found.rows] == [(shorter, longer), (longer, shorter)] * 2


def test_a_prompt_that_leaves_no_room_for_a_completion_makes_way_for_the_next(foresee):
    long = tuple(prompt(number, "train", "say it once more and " * 9) for number in range(6, 60))
    _, encoder = foresee({})
    room = max(len(encoder.prompt_ids(one.messages)) for one in PROMPTS) + 3
    found, _ = foresee({"train": 6}, prompts=PROMPTS + long, max_tokens=room)
    assert {row.id for row in found.rows} == {f"train{number}" for number in range(6)}
    assert not foresee({"train": 6}, max_tokens=room - 6)[0].rows


def test_no_text_is_made_up_and_any_margin_is_taken_to_be_reached(foresee):
    found, _ = foresee({"train": 2})
    assert {(pair.chosen, pair.rejected) for pair in found.suite.rows} == {(TEXT, TEXT)}
    assert [tuple(row.scores) for row in found.rows] == [(ANY_MARGIN, 0.0)] * 2
    suite = found.suite
    assert (suite.name, suite.kind, suite.read, suite.dropped) == ("toy", Kind.PAIRS, 2, {})
    assert (suite.source, suite.revision) == ("toys", "r1")
