"""Starting weights are put back to the bit; adapters start from our own initialisation."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.logprobs import Scorer
from harness.models import load_policy
from harness.policy import Policy, snapshot
from harness.train import train
from tests.harness.jobs import make_job


@pytest.fixture(params=["full", "lora"])
def policy(request, source) -> Policy:
    return Policy(load_policy(source, "cpu"), tuning=request.param, rank=4, alpha=8)


def train_one(policy, rows, seed=0):
    job = make_job(policy.base, rows, "dpo", lr=1e-2)
    model = policy.begin(seed)
    curve = train(Scorer(model), job)
    return model, curve


def test_a_second_cell_starts_from_the_same_bits_as_the_first(policy, rows):
    before = snapshot(policy.base)
    _, first = train_one(policy, rows)
    policy.end()
    after = snapshot(policy.base)
    assert before.keys() == after.keys() and all(torch.equal(before[n], after[n]) for n in before)
    _, second = train_one(policy, rows)
    assert [row["loss"] for row in first] == [row["loss"] for row in second]


def test_lora_trains_its_adapters_alone_and_starts_as_the_model(source, rows):
    policy = Policy(load_policy(source, "cpu"), tuning="lora", rank=4, alpha=8)
    plain = load_policy(source, "cpu")
    model = policy.begin(0)
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trainable and all("lora_" in name for name in trainable)
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, plain(input_ids=ids).logits)


def test_a_seed_decides_the_adapters_initialisation(source):
    policy = Policy(load_policy(source, "cpu"), tuning="lora", rank=4, alpha=8)

    def start(seed: int) -> torch.Tensor:
        return torch.cat([p.flatten() for n, p in policy.begin(seed).named_parameters() if "lora_A" in n])

    assert torch.equal(start(0), start(0))
    assert not torch.equal(start(0), start(1))


def test_a_saved_cell_loads_with_from_pretrained_and_gives_the_same_logits(policy, rows, tokenizer, tmp_path):
    model, _ = train_one(policy, rows)
    policy.save(tmp_path, tokenizer)
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        if policy.tuning == "lora":
            from peft import PeftModel

            policy.end()
            loaded = PeftModel.from_pretrained(policy.base, tmp_path)
        else:
            loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
        torch.testing.assert_close(loaded.eval()(input_ids=ids).logits, expected, rtol=1e-5, atol=1e-5)
    assert not list(tmp_path.glob("*.bin"))


def test_adopting_makes_the_trained_weights_the_new_start(policy, rows):
    model, _ = train_one(policy, rows)
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        trained = model(input_ids=ids).logits.clone()
    policy.adopt()
    policy.begin(0)
    policy.end()
    with torch.no_grad():
        torch.testing.assert_close(policy.base(input_ids=ids).logits, trained, rtol=1e-4, atol=1e-4)
