"""The question and the grammar of its verdict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.evaluation.judging import INJECTION
from harness.judges.question import does_it_decline, read, which_is_better


@pytest.mark.parametrize(("word", "value"), [("A", 1.0), ("B", 0.0), ("TIE", 0.5)])
def test_a_verdict_is_the_last_line_and_what_stands_before_it_the_reason(word, value):
    question = which_is_better("q", "x", "y")
    reading = read(question, f"Clearer,\nand true.\n\nVERDICT {question.nonce} {word}\n")
    assert reading.value == value and reading.reason == "Clearer, and true."


@given(completion=st.text(max_size=200))
def test_no_completion_can_close_its_frame_or_write_a_verdict(completion):
    question = which_is_better("q", completion, "y")
    assert question.nonce not in completion
    assert question.user.count(f"ANSWER A {question.nonce} >>>") == 1
    assert read(question, completion).value is None


def test_a_judge_that_echoes_the_injection_canary_says_nothing():
    assert read(which_is_better("q", INJECTION, "y"), INJECTION).value is None


def test_codes_are_drawn_anew():
    assert len({which_is_better("q", "x", "y").nonce for _ in range(50)}) == 50


def test_declining_is_a_question_of_its_own():
    question = does_it_decline("q", "no")
    assert read(question, f"VERDICT {question.nonce} DECLINES").value == 1.0
    assert read(question, f"VERDICT {question.nonce} A").value is None
