"""Numbers of generated answers, from tables small enough to check by hand."""

import math

import pandas as pd
import pytest

from results.metrics import answers
from results.schema.row import ROW_COLUMNS, names
from results.schema.tables import GENERATION_COLUMNS


def table(**changed) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "prompt_id": ["a", "b", "c", "d"],
            "cluster_id": ["1", "2", "3", "3"],
            "sample": 0,
            "prompt": ["Pa", "Pb", "Pc", "Pd"],
            "answer": ["a good film", "a Good film", "so dull", "x"],
            "tokens": [4, 4, 3, 5],
            "truncated": [False, False, False, True],
            "logp": [-10.0, -8.0, -6.0, -4.0],
            "reference_logp": [-12.0, -9.0, -6.0, -5.0],
            "gold_reward": [2.0, 1.0, -1.0, 0.0],
        }
    )
    return frame.assign(**changed)


@pytest.fixture
def reference():
    return table(tokens=[2, 2, 2, 2], gold_reward=[1.0, 2.0, -1.0, -3.0], answer=["a b c", "a b c", "d e f", "g"])


def test_kl_is_the_mean_log_ratio_of_the_policys_own_samples():
    found = answers.kl(table())
    assert found.value == pytest.approx((2 + 1 + 0 + 1) / 4)
    # Clusters {2}, {1}, {0, 1} around the mean 1: influences 1/4, 0, (-1 + 0)/4; G=3, N=4.
    assert found.se == pytest.approx(math.sqrt(3 / 2 * (1 / 16 + 0 + 1 / 16)))


def test_the_gain_is_paired_and_its_error_is_that_of_the_difference(reference):
    found = answers.gold_reward_gain(table(), reference)
    assert found.value == pytest.approx((1 - 1 + 0 + 3) / 4)
    same = answers.gold_reward_gain(table(), table())
    assert (same.value, same.se) == (0.0, 0.0)


def test_distinct_2_counts_word_pairs_case_apart():
    assert answers.distinct_2(table()) == pytest.approx(3 / 5)  # a good, good film, a good, good film, so dull
    assert math.isnan(answers.distinct_2(table(answer="x")))
    assert answers.distinct_2(table(answer=["a b", "c b", "c d", "x"])) == 1
    assert answers.distinct_2(table(answer=["die straße", "die strasse", "x", "x"])) == 1  # words of two spellings


def test_every_number_is_a_declared_column(reference):
    numbers = answers.measure(table(), reference, exact=True)
    assert set(numbers) <= set(names(ROW_COLUMNS))
    assert numbers["generated_prompts"] == 4 and numbers["generated_tokens"] == 4.0
    assert numbers["length_ratio"] == 2.0 and numbers["truncated_fraction"] == 0.25
    assert numbers["gold_reward"] == 0.5 and numbers["gold_reward_reference"] == -0.25
    assert numbers["distinct_2_reference"] == pytest.approx(4 / 6)
    assert numbers["kl"] == 1.0 and numbers["kl_se"] == answers.kl(table()).se
    # Deviations 3/2, 1/2 and the cluster of -3/2 - 1/2, over 4 rows in 3 clusters.
    assert numbers["gold_reward_se"] == pytest.approx(math.sqrt(3 / 2 * (2.25 + 0.25 + 4) / 16))
    assert numbers["gold_reward_gain"] == 0.75


def test_greedy_samples_give_no_kl_and_a_suite_without_a_reward_no_gold(reference):
    bare = answers.measure(table().drop(columns="gold_reward"), reference.drop(columns="gold_reward"), exact=False)
    assert not {"kl", "kl_se", "gold_reward", "gold_reward_gain"} & set(bare)


def test_other_prompts_cannot_be_compared(reference):
    said = "so their completions cannot be compared; answer the same prompts with both, in the same order.$"
    with pytest.raises(ValueError, match=f"^Policy and reference differ in prompt_id, {said}"):
        answers.measure(table(prompt_id=["a", "b", "d", "c"]), reference, exact=True)
    with pytest.raises(ValueError, match=f"^Policy and reference differ in sample, {said}"):
        answers.gold_reward_gain(table(sample=1), reference)


def test_answers_survive_the_way_to_disk():
    frame = table(answer=['line\nbreak "quoted"', "\u00fc\u2028", "", "x"])
    content = answers.json_lines(frame)
    assert content.count(b"\n") == 4
    back = answers.from_json_lines(content)
    pd.testing.assert_frame_equal(back, frame)
    assert list(back.columns) == list(names(GENERATION_COLUMNS))
    assert "\u00fc".encode() in content  # readable in the file
    without = table().drop(columns="gold_reward")
    pd.testing.assert_frame_equal(answers.from_json_lines(answers.json_lines(without)), without)
    with pytest.raises(ValueError, match="lacks prompt_id, cluster_id, sample, .*, reference_logp.$"):
        answers.from_json_lines(b'{"answer": "x"}\n')


def test_half_a_character_that_a_model_wrote_is_escaped():
    frame = table(answer=pd.Series(["\ud83d", "x", "y", "z"], dtype=object))
    assert b'"answer": "\\ud83d"' in answers.json_lines(frame)
