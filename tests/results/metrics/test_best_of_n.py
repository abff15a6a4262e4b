"""Best of n by implicit reward: worked by hand."""

import numpy as np
import pandas as pd
import pytest

from results.metrics import best_of_n
from results.schema.row import RERANK_COLUMNS


def table(**changes) -> pd.DataFrame:
    """Two prompts with three answers each; implicit rewards (2, -1, 0) and (0, 1, 3)."""
    frame = pd.DataFrame(
        {
            "prompt_id": ["a"] * 3 + ["b"] * 3,
            "cluster_id": ["a"] * 3 + ["b"] * 3,
            "sample": [0, 1, 2] * 2,
            "answer": list("uvwxyz"),
            "tokens": [4, 5, 6, 1, 2, 3],
            "logp": [-3.0, -6.0, -5.0, -2.0, -1.0, -1.0],
            "reference_logp": [-5.0, -5.0, -5.0, -2.0, -2.0, -4.0],
            "gold_reward": [0.5, 0.9, 0.1, 0.2, 0.4, 0.6],
        }
    )
    return frame.assign(**changes)


def test_the_chosen_answer_is_the_one_of_highest_log_ratio():
    assert best_of_n.chosen(table())["answer"].tolist() == ["u", "z"]
    assert best_of_n.implicit_rewards(table()).tolist() == [[2, -1, 0], [0, 1, 3]]


def test_gold_rewards_of_one_answer_of_the_chosen_and_of_the_best():
    found = best_of_n.measure(table(), np.array([10.0, 20.0]), prompt_once=True)
    assert found["rerank_answers"] == 3
    assert found["rerank_gold_reward_one"] == pytest.approx((0.5 + 0.4) / 2)
    assert found["rerank_gold_reward"] == pytest.approx((0.5 + 0.6) / 2)
    assert found["rerank_gold_reward_gain"] == pytest.approx(0.1)
    assert found["rerank_gold_reward_gain_se"] == pytest.approx(np.std([0.0, 0.2], ddof=1) / np.sqrt(2))
    assert found["rerank_gold_reward_best"] == pytest.approx((0.9 + 0.6) / 2)
    assert found["rerank_gold_reward_one_se"] == pytest.approx(np.std([0.5, 0.4], ddof=1) / np.sqrt(2))
    assert set(found) <= {column.name for column in RERANK_COLUMNS}


def test_a_policy_that_ranks_as_the_gold_reward_reaches_the_best_and_its_opposite_the_worst():
    perfect = table(logp=table()["gold_reward"], reference_logp=0.0)
    found = best_of_n.gold_rewards(perfect)
    assert found["rerank_gold_reward"] == found["rerank_gold_reward_best"]
    worst = best_of_n.gold_rewards(perfect.assign(logp=-perfect["logp"]))
    assert worst["rerank_gold_reward"].value == pytest.approx((0.1 + 0.2) / 2)


def test_ties_count_as_any_of_them_so_the_reference_gains_exactly_nothing():
    found = best_of_n.gold_rewards(table(logp=table()["reference_logp"]))
    assert found["rerank_gold_reward_gain"] == (0.0, 0.0)
    two = best_of_n.gold_rewards(table(logp=table()["reference_logp"] + [1, 1, 0, 0, 0, 5]))
    assert two["rerank_gold_reward"].value == pytest.approx((0.7 + 0.6) / 2)


def test_the_cost_counts_every_token_that_went_through_a_model():
    lengths = np.array([10.0, 20.0])
    once = best_of_n.measure(table(), lengths, prompt_once=True)
    # Written: 10 + 15 and 20 + 6; scored twice, each time the prompt once with its answers.
    assert once["rerank_tokens"] == (3 * 25 + 3 * 26) / 2
    assert once["rerank_tokens_one"] == (10 + 5 + 20 + 2) / 2
    each = best_of_n.measure(table(), lengths, prompt_once=False)
    assert each["rerank_tokens"] == (25 + 2 * 45 + 26 + 2 * 66) / 2


@pytest.mark.parametrize("rows", [[0, 1], [0, 1, 3, 4], [0, 1, 2]])
def test_two_answers_and_one_prompt_are_enough(rows):
    assert best_of_n.chosen(table().iloc[rows])["answer"].tolist() == (["u", "y"] if len(rows) == 4 else ["u"])


def test_without_a_gold_reward_the_cost_alone_is_measured():
    found = best_of_n.measure(table().drop(columns="gold_reward"), np.array([1.0, 1.0]), prompt_once=True)
    assert set(found) == {"rerank_answers", "rerank_tokens", "rerank_tokens_one"}


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [0, 3, 1, 4, 2, 5], [0, 3]])
def test_unequal_numbers_of_answers_are_refused(rows):
    with pytest.raises(ValueError, match="the same number, at least 2"):
        best_of_n.implicit_rewards(table().iloc[rows])
