"""What running a loss shows, in words."""

import pytest
import torch

import losses
from harness.verbs.loss_card import measured


def shown(name):
    return {field.strip(): text for field, text in measured(losses.get(name))}


def test_a_pairwise_losss_numbers_are_those_of_its_formula():
    card = shown("cdpo")  # beta 0.1, label_smoothing 0.2: log 2 and beta * (1/2 - e) at the start
    assert card["at the start"] == "policy == reference: value 0.6931"
    assert card["pull, push"].startswith("there, a nat: 0.03 up on wanted completions, 0.03 down on unwanted ones")
    assert "|value| up to 320," in card["at extremes"]
    assert card["both completions"] == (
        "only the difference of their rewards counts; antisymmetric: value - swapped value = -0.06 * margin"
    )
    assert card["both models"] == "adding the same to policy and reference changes nothing"
    assert card["token log-probs"] == "reads their sums: length enters through the sum alone"
    assert card["batch"] == "each row by itself"


@pytest.mark.parametrize(
    ("name", "field", "text"),
    [
        ("aot", "batch", "a row's value depends on the rows beside it"),
        ("ipo", "token log-probs", "reads their means per token"),
        ("kto", "both completions", ""),
        ("simpo", "both models", ""),
        ("orpo", "both completions", "more than the difference of their rewards counts"),
        ("hinge", "both completions", "not antisymmetric"),
    ],
)
def test_each_property_has_its_words(name, field, text):
    found = shown(name)[field]
    assert text in found if text else found == ""


def test_a_number_that_depends_on_the_completions_is_a_range():
    assert " to " in shown("simpo")["at the start"] and " to " not in shown("dpo")["at the start"]


def broken(pair: losses.PairBatch):
    return pair.chosen.mean.log()


def in_fp32_alone(pair: losses.PairBatch):
    return -pair.chosen.total * (torch.ones(1) @ torch.ones(1, dtype=pair.chosen.total.dtype))


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (broken, "not possible: loss 'carded' returns nan"),
        (in_fp32_alone, "not possible: RuntimeError: "),  # as the trainer has it, but not the card
    ],
)
def test_a_loss_that_does_not_run_says_why_on_one_line(function, why):
    losses.register("carded")(function)
    ((field, text),) = measured(losses.get("carded"))
    assert field == "measured" and text.startswith(why)


def test_a_loss_of_single_tokens_reads_neither_sums_nor_means_alone():
    @losses.register("carded", needs={"stats:mine"})
    def carded(pair: losses.PairBatch):
        return -pair.chosen.total * pair.chosen.stats["mine"].sum(-1)

    assert shown("carded")["token log-probs"].startswith("reads neither sums nor means alone")
