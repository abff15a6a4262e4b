"""Reward models: scores do not depend on their batch, and what is no reward model is refused."""

import pytest
import torch
from transformers import ByT5Tokenizer, LlamaConfig, LlamaForSequenceClassification

from harness.judges import JudgeError, make
from harness.judges.reward_model import RewardModel
from harness.model.sources import find
from harness.options.judges import JudgeSettings

TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"


def reward_folder(place, labels=1):
    tokenizer = ByT5Tokenizer()
    tokenizer.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_labels=labels,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        LlamaForSequenceClassification(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def test_a_score_is_the_models_own_whatever_it_is_batched_with(tmp_path):
    folder = reward_folder(tmp_path / "rm")
    model = LlamaForSequenceClassification.from_pretrained(folder).eval()
    prompts, completions = ["why?", "and how is that?", "x"], ["because", "it is so", "a much longer answer than these"]
    found = RewardModel(find(str(folder)), JudgeSettings(batch_size=2)).score(prompts, completions)
    tokenizer = ByT5Tokenizer()
    for prompt, completion, reward in zip(prompts, completions, found, strict=True):
        ids = tokenizer(f"<user>{prompt}<assistant>{completion}", add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            assert reward == pytest.approx(model(**ids).logits[0, 0].item(), abs=1e-5)


def test_the_higher_score_wins(tmp_path):
    folder = reward_folder(tmp_path / "rm")
    judge = make(f"rm:{folder}", JudgeSettings())
    prompts, a, b = ["q"] * 4, ["one", "two", "three", "same"], ["four", "five", "six", "same"]
    scores = RewardModel(find(str(folder)), JudgeSettings()).score(prompts * 2, a + b)
    wanted = [0.5 if x == y else float(x > y) for x, y in zip(scores[:4], scores[4:], strict=True)]
    assert [v.preference for v in judge.compare(prompts, a, b)] == wanted
    assert judge.symmetric and judge.id.startswith("rm:")


def test_a_model_with_two_outputs_or_of_another_kind_is_refused(tmp_path):
    two = reward_folder(tmp_path / "two", labels=2)
    with pytest.raises(JudgeError, match="with 2 outputs"):
        make(f"rm:{two}", JudgeSettings())
    with pytest.raises(JudgeError, match="LlamaForCausalLM"):
        make("rm:tiny", JudgeSettings())


def test_too_long_a_conversation_loses_its_beginning(tmp_path):
    model = RewardModel(find(str(reward_folder(tmp_path / "rm"))), JudgeSettings(max_tokens=16))
    assert len(model._ids("x" * 100, "the end")) == 16
    assert model.score(["x" * 100], ["the end"]) == model.score(["y" * 100], ["the end"])
