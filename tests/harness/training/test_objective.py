"""The loss of token log-probs and its gradient, by hand."""

from __future__ import annotations

import math

import pytest
import torch

import losses
from harness.data.tokens import Row
from harness.model.logprobs import Scored
from harness.training.objective import Context, evaluate_loss, joined, padded

PAIR = Row("a", "a", "train", (1, 2), ((3, 4), (5,)))
LOGPS = torch.tensor([[-1.0, -2.0], [-4.0, 0.0]])
MASK = torch.tensor([[True, True], [True, False]])


def outcome(loss="dpo", examples=1, rows=(PAIR,), reference=((-1.0, -2.0), (-4.0,)), **context):
    stored = [tuple(torch.tensor(completion) for completion in reference)]
    card = losses.get(loss)
    given = padded(stored, "cpu")
    return evaluate_loss(card, {"beta": 0.5}, Scored(LOGPS, {}), MASK, rows, given, Context(examples, 0, 1, **context))


def test_dpo_at_its_start_is_log_two_and_pulls_each_token_by_half_of_beta():
    found = outcome()
    assert found.statistics.values.tolist() == pytest.approx([math.log(2)])
    assert found.gradient.tolist() == [[-0.25, -0.25], [0.25, 0.0]]  # a padded place has none
    assert found.statistics.rewards.tolist() == [0.0, 0.0]
    assert found.statistics.totals.tolist() == [-3.0, -4.0]
    assert found.statistics.weights.tolist() == pytest.approx([0.25, 0.25])
    assert found.statistics.preferred.tolist() == [True, False]


def test_the_gradient_is_divided_by_the_whole_batch_and_the_shown_weights_are_not():
    one, four = outcome(), outcome(examples=4)
    torch.testing.assert_close(four.gradient, one.gradient / 4)
    torch.testing.assert_close(four.statistics.weights, one.statistics.weights)


def test_a_reference_away_from_the_policy_gives_log_ratios_as_rewards():
    found = outcome(reference=((-2.0, -2.0), (-3.0,)))
    assert found.statistics.rewards.tolist() == [1.0, -1.0]
    h = 0.5 * 2.0
    assert found.statistics.values.tolist() == pytest.approx([math.log1p(math.exp(-h))])
    assert found.gradient[0, 0].item() == pytest.approx(-0.5 / (1 + math.exp(h)))


def test_stored_completions_of_unlike_length_are_padded_and_counted():
    batch = padded([(torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([-4.0]))], "cpu")
    assert batch.total.tolist() == [-6.0, -4.0] and batch.count.tolist() == [3, 1]


def test_statistics_of_micro_batches_stand_one_after_the_other():
    one, two = outcome().statistics, outcome(reference=((-2.0, -2.0), (-3.0,))).statistics
    both = joined([one, two])
    assert both.rewards.tolist() == [0.0, 0.0, 1.0, -1.0] and both.preferred.tolist() == [True, False] * 2
    assert both.values.tolist() == [*one.values.tolist(), *two.values.tolist()]


def test_ratings_that_are_not_there_are_named():
    card = losses.get("dpo")
    card = type(card)(**{**vars(card), "needs": card.needs | {"scores"}})
    with pytest.raises(ValueError, match="row 'a' carries no scores"):
        evaluate_loss(
            card,
            {"beta": 0.5},
            Scored(LOGPS, {}),
            MASK,
            [PAIR],
            padded([(torch.zeros(2), torch.zeros(1))], "cpu"),
            Context(1, 0, 1),
        )
