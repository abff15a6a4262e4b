"""Scores -> pair table."""

import math

import pytest
import torch

from harness.data.tokens import Row
from harness.evaluation.pair_table import edit_similarity, pair_table


def test_a_pair_is_a_line_of_summed_log_probs_and_counts():
    row = Row("p", "c", "test", (1, 2, 3), ((4, 5), (6,)))
    policy = [(torch.tensor([-1.0, -2.0]), torch.tensor([-0.5]))]
    reference = [(torch.tensor([-2.0, -2.0]), torch.tensor([-0.25]))]
    (line,) = pair_table([row], policy, reference, step=7).to_dict("records")
    assert line == {
        "pair_id": "p",
        "cluster_id": "c",
        "split": "test",
        "step": 7,
        "policy_chosen_logp": -3.0,
        "policy_rejected_logp": -0.5,
        "reference_chosen_logp": -4.0,
        "reference_rejected_logp": -0.25,
        "chosen_tokens": 2,
        "rejected_tokens": 1,
        "prompt_tokens": 3,
        "edit_similarity": 0.0,
        "policy_chosen_logp_first": -3.0,
        "policy_rejected_logp_first": -0.5,
        "reference_chosen_logp_first": -4.0,
        "reference_rejected_logp_first": -0.25,
    }


def test_the_first_ten_tokens_are_summed_apart():
    row = Row("p", "c", "test", (1,), ((1,) * 12, (2,) * 3))
    scores = [(torch.tensor([-1.0] * 10 + [-5.0] * 2), torch.full((3,), -2.0))]
    (line,) = pair_table([row], scores, scores, step=0).to_dict("records")
    assert line["policy_chosen_logp_first"] == -10 and line["policy_chosen_logp"] == -20
    assert line["reference_rejected_logp_first"] == line["reference_rejected_logp"] == -6


@pytest.mark.parametrize(
    ("chosen", "rejected", "alike"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4), 1.0),
        ((1, 2), (3, 4), 0.0),
        ((1, 2, 3, 4), (1, 9, 3), 1 - 2 / 4),
    ],
)
def test_similarity_is_one_minus_the_share_of_edits(chosen, rejected, alike):
    assert edit_similarity(chosen, rejected) == edit_similarity(rejected, chosen) == alike


def test_an_unpaired_example_stands_on_its_own_side():
    good = Row("g", "c", "test", (1,), ((4, 5),), desirable=True)
    bad = Row("b", "d", "test", (1,), ((4,),), desirable=False)
    scores = [(torch.tensor([-1.0, -2.0]),), (torch.tensor([-0.5]),)]
    table = pair_table([good, bad], scores, scores, step=0)
    assert table["policy_chosen_logp"].tolist()[0] == -3.0 and math.isnan(table["policy_chosen_logp"][1])
    assert table["edit_similarity"].isna().all() and math.isnan(table["policy_chosen_logp_first"][1])
    assert math.isnan(table["rejected_tokens"][0]) and table["rejected_tokens"][1] == 1


def test_the_sum_does_not_depend_on_the_order_of_the_tokens():
    tokens = torch.rand(500, generator=torch.Generator().manual_seed(0)) * -8
    row = Row("p", "c", "test", (1,), ((1,) * 500, (1,) * 500))
    (line,) = pair_table([row], [(tokens, tokens.flip(0))], [(tokens, tokens)], 0).to_dict("records")
    assert abs(line["policy_chosen_logp"] - line["policy_rejected_logp"]) < 1e-9
