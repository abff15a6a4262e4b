"""Judges by log-prob, against the model's own logits, and by the implicit reward of a cell trained here."""

from __future__ import annotations

import pytest
import torch

from harness.judges import JudgeError, make
from harness.model.sources import find, load_policy
from harness.options.judges import JudgeSettings
from results import read


def own_logp(model, tokenizer, prompt: str, completion: str) -> torch.Tensor:
    """[tokens] nats of a completion and its end of turn after the plain transcript, from the stock logits."""
    before = tokenizer(f"\n\nHuman: {prompt}\n\nAssistant:", add_special_tokens=False)["input_ids"]
    after = [*tokenizer(f" {completion}", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([before + after])).logits[0].log_softmax(-1)
    return logits[len(before) - 1 : -1].gather(1, torch.tensor(after)[:, None])[:, 0]


def test_the_completion_with_the_higher_mean_log_prob_wins(model, tokenizer):
    judge = make("logprob:tiny", JudgeSettings())
    prompts, a, b = ["why?"] * 4, ["one", "a longer answer", "same", "x"], ["two", "short", "same", ""]
    found = judge.compare(prompts, a, b)
    means = [[own_logp(model, tokenizer, "why?", text).mean().item() for text in texts[:2]] for texts in (a, b)]
    assert [v.preference for v in found[:3]] == [*(float(x > y) for x, y in zip(*means, strict=True)), 0.5]
    assert not found[3].valid  # an empty completion has no log-prob
    assert judge.symmetric and judge.id.startswith("logprob:tiny@")


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_the_implicit_reward_is_policy_minus_reference_log_prob(command, tmp_path, tokenizer, source, tuning):
    command("losses=dpo", "controls=false", "save=all", f"tuning={tuning}", "dpo.lrs=5e-3")
    (row,) = read(tmp_path / "runs").to_dict("records")
    folder = tmp_path / "runs" / "pairs" / f"dpo-{row['cell']}"
    judge = make(f"implicit:{folder}", JudgeSettings())
    prompts, completions = ["0: sun moon river?"] * 2, ["good stone quiet bright", "bad stone quiet bright"]
    found = judge.score(prompts, completions)
    policy = load_policy(find(str(folder / "model")), "cpu") if tuning == "full" else adapted(source, folder / "model")
    reference = load_policy(source, "cpu")
    for prompt, completion, value in zip(prompts, completions, found, strict=True):
        sums = [own_logp(m, tokenizer, prompt, completion).double().sum().item() for m in (policy, reference)]
        assert value == pytest.approx(sums[0] - sums[1], abs=1e-3) and abs(value) > 0.01
    assert found[0] > found[1]  # it was trained to prefer completions that begin so


def adapted(source, folder):
    from peft import PeftModel

    return PeftModel.from_pretrained(load_policy(source, "cpu"), folder).eval()


def test_a_cell_without_a_model_is_refused_with_what_to_do(command, tmp_path):
    command("losses=dpo", "controls=false")
    (row,) = read(tmp_path / "runs").to_dict("records")
    with pytest.raises(JudgeError, match="save=all"):
        make(f"implicit:{tmp_path / 'runs' / 'pairs' / ('dpo-' + row['cell'])}", JudgeSettings())
    with pytest.raises(JudgeError, match="no finished cell"):
        make(f"implicit:{tmp_path}", JudgeSettings())
