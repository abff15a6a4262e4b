"""The rule that makes pairs of scored answers."""

import pytest

from suites import Message
from suites.reading.cleaning import RowDropped
from suites.sampled import Answer, Prompt, in_hash_order, pair_up


def prompt(number: int = 0) -> Prompt:
    messages = (Message("system", "Go on."), Message("user", f"opening {number}"))
    return Prompt(f"p{number}", messages, f"c{number}", "train")


def answers(*scores: float, cut: tuple[int, ...] = ()) -> list[Answer]:
    return [Answer(f"answer {score}", place in cut, score) for place, score in enumerate(scores)]


def test_the_best_answer_is_chosen_and_the_worst_rejected():
    draft = pair_up(prompt(), answers(0.5, -1.0, 2.0, 1.0), "deterministic", 0)
    assert draft.answers == ("answer 2.0", "answer -1.0") and draft.scores == (2.0, -1.0)
    assert (draft.id, draft.cluster, draft.split) == ("p0", "c0", "train")


def test_cut_answers_make_no_pair():
    draft = pair_up(prompt(), answers(0.5, -1.0, 2.0, 1.0, cut=(1, 2)), "deterministic", 0)
    assert draft.answers == ("answer 1.0", "answer 0.5")


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (answers(1.0), "too_few_answers"),
        (answers(1.0, 1.0), "too_few_answers"),  # the same text twice
        (answers(1.0, 2.0, cut=(0,)), "too_few_answers"),
        ([Answer("  ", False, 1.0), Answer("x", False, 2.0)], "too_few_answers"),
        ([Answer("a\0b", False, 1.0), Answer("x", False, 2.0)], "too_few_answers"),  # no file can carry it
        ([Answer("y", False, 2.0), Answer("x", False, 2.0)], "tie"),
    ],
)
def test_a_prompt_without_a_contrast_is_dropped_by_a_named_rule(given, rule):
    with pytest.raises(RowDropped) as dropped:
        pair_up(prompt(), given, "deterministic", 0)
    assert dropped.value.rule == rule


def test_bradley_terry_prefers_the_better_answer_as_often_as_the_model_says():
    gap = 1.0
    drafts = [pair_up(prompt(n), answers(0.0, gap), "bradley_terry", 0) for n in range(4000)]
    share = sum(draft.answers[0] == f"answer {gap}" for draft in drafts) / len(drafts)
    assert share == pytest.approx(1 / (1 + 2.718281828**-gap), abs=0.03)  # four standard errors
    again = [pair_up(prompt(n), answers(0.0, gap), "bradley_terry", 0) for n in range(4000)]
    other = [pair_up(prompt(n), answers(0.0, gap), "bradley_terry", 1) for n in range(4000)]
    assert drafts == again and drafts != other


def test_a_reward_reads_the_last_user_message():
    assert prompt(3).text == "opening 3"


def test_the_order_depends_on_the_ids_alone():
    some = [prompt(n) for n in range(50)]
    assert in_hash_order(some) == in_hash_order(reversed(some)) != some
