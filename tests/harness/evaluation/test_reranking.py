"""A cell chooses among the reference's completions; the numbers are added to finished cells."""

import pytest

import results
from harness.errors import UsageError
from harness.evaluation.completions import read_completions
from harness.options.lookup import read_options
from results.cells import store
from results.metrics import answers as generations
from results.metrics import best_of_n
from suites import rewards
from tests.harness.evaluation.test_completions import cells, trainings, vowels  # noqa: F401

ASK = ("losses=dpo", "generate=6", "max_new_tokens=8", "rerank=3", "controls=true", "lrs=1e-3")


def reranked(folder):
    return generations.from_json_lines((folder / store.RERANKED).read_bytes())


def test_every_cell_scores_the_same_completions_of_the_reference(command, tmp_path, vowels):  # noqa: F811
    assert command(*ASK, "judge=gold").code == 0
    folders = cells(tmp_path)
    tables = {name: reranked(folder) for name, folder in folders.items()}
    runs = results.read(tmp_path / "runs").set_index("loss")
    for name, table in tables.items():
        assert len(table) == 18 and list(table["sample"]) == [0, 1, 2] * 6
        assert list(table["answer"]) == list(tables["none"]["answer"])
        assert list(table["reference_logp"]) == list(tables["none"]["reference_logp"])
        assert list(table["gold_reward"]) == vowels.score(table["prompt"], table["answer"])
        by_hand = table.assign(implicit=table["logp"] - table["reference_logp"]).sort_values(
            ["prompt_id", "implicit"], ascending=[True, False], kind="stable"
        )
        chosen = by_hand.drop_duplicates("prompt_id")["gold_reward"].mean()
        assert runs.loc[name, "rerank_gold_reward_best"] == table.groupby("prompt_id")["gold_reward"].max().mean()
        if name != "none":
            assert runs.loc[name, "rerank_gold_reward"] == pytest.approx(chosen)
            assert runs.loc[name, "rerank_win_rate_best"] >= 0.5 and runs.loc[name, "rerank_judge"].startswith("gold:")
    # The completions are those that the reference gives alone, and more.
    first = tables["none"][tables["none"]["sample"] == 0]
    assert list(first["answer"]) == list(read_completions(folders["none"])["answer"])
    assert runs.loc["none", "rerank_gold_reward_gain"] == 0.0
    assert runs["rerank_tokens"].nunique() == 1 and runs.loc["dpo", "rerank_tokens_one"] > 0


def test_a_cell_with_its_model_is_reranked_without_training_and_once(command, tmp_path, trainings):  # noqa: F811
    command("losses=dpo", "controls=false", "save=all")
    trained = len(trainings)
    words = ("losses=dpo", "controls=false", "save=all", "generate=4", "max_new_tokens=6")
    command(*words)
    completions = (cells(tmp_path)["dpo"] / store.GENERATIONS).read_bytes()
    added = command(*words, "rerank=2")
    row = store.read_row(cells(tmp_path)["dpo"])
    assert row["rerank_answers"] == 2 and store.is_done(cells(tmp_path)["dpo"])
    assert (cells(tmp_path)["dpo"] / store.GENERATIONS).read_bytes() == completions
    assert len(trainings) == trained and added.code == 0
    assert not any(": started" in line for line in command(*words, "rerank=2").lines)
    command(*words, "rerank=3")
    assert store.read_row(cells(tmp_path)["dpo"])["rerank_answers"] == 3 and len(trainings) == trained


def test_log_probs_of_completions_that_share_a_row_are_those_of_completions_alone(command, tmp_path):
    command(*ASK, "temperature=1")
    together = reranked(cells(tmp_path)["dpo"])
    alone = read_completions(cells(tmp_path)["dpo"])
    first = reranked(cells(tmp_path)["none"])
    reference = read_completions(cells(tmp_path)["none"])
    assert first[first["sample"] == 0]["reference_logp"].tolist() == pytest.approx(
        reference["reference_logp"].tolist(), abs=1e-4
    )
    assert len(alone) == 6 and best_of_n.implicit_rewards(together).shape == (6, 3)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rerank=8"], "rerank=8 chooses among completions of prompts, but generate=0"),
        (["rerank=1", "generate=4"], "rerank=1 at temperature=1 gives one completion of a prompt"),
        (["rerank=8", "generate=4", "temperature=0"], "rerank=8 at temperature=0 gives one completion of a prompt"),
    ],
)
def test_reranking_needs_several_completions(words, sentence):
    with pytest.raises(UsageError) as caught:
        read_options(["suite=persona", "losses=dpo", *words])
    assert any(sentence in message for message in caught.value.messages)


def test_the_suites_of_the_tests_have_no_reward_left():
    assert "pairs" not in rewards.names()
