"""Starting weights are put back to the bit; adapters start from our own initialisation."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.model.logprobs import Scorer
from harness.model.policy import Policy, holds, snapshot
from harness.model.sources import load_policy
from harness.training.loop import train
from tests.harness.architectures import build
from tests.harness.jobs import make_job


def files_of(source) -> list[Path]:
    return sorted(source.folder.glob("*.safetensors"))


@pytest.fixture(params=["full", "full, from files", "lora"])
def policy(request, source) -> Policy:
    tuning, _, from_files = request.param.partition(", ")
    files = files_of(source) if from_files else ()
    return Policy(load_policy(source, "cpu"), tuning=tuning, rank=4, alpha=8, files=files)


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


@pytest.mark.parametrize("policy", ["full", "lora"], indirect=True)
def test_a_next_round_begins_at_a_saved_cells_bits_and_trains_the_same_weights(policy, rows, tokenizer, tmp_path):
    ended, _ = train_one(policy, rows)
    trained = {name: p.detach().clone() for name, p in ended.named_parameters() if p.requires_grad}
    policy.save(tmp_path, tokenizer)
    policy.end()
    begun = {name: p for name, p in policy.begin(1, tmp_path).named_parameters() if p.requires_grad}
    assert begun.keys() == trained.keys()
    assert all(torch.equal(begun[name], trained[name]) for name in trained)
    first = policy.begin(0)
    assert not all(torch.equal(p, trained[n]) for n, p in first.named_parameters() if p.requires_grad)


def test_adopting_makes_the_trained_weights_the_new_start(policy, rows, tmp_path):
    model, _ = train_one(policy, rows)
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        trained = model(input_ids=ids).logits.clone()
    policy.adopt(tmp_path / "start.safetensors")
    policy.begin(0)
    policy.end()
    with torch.no_grad():
        torch.testing.assert_close(policy.base(input_ids=ids).logits, trained, rtol=1e-4, atol=1e-4)


def test_a_models_own_files_hold_its_weights_until_one_bit_changes(source):
    model, files = load_policy(source, "cpu"), files_of(source)
    assert holds(files, model)
    assert not holds([], model)
    parameter = model.model.layers[1].mlp.up_proj.weight
    with torch.no_grad():
        parameter[3, 5] = torch.nextafter(parameter[3, 5], torch.tensor(9.0))
    assert not holds(files, model)


def test_files_hold_tied_weights_and_weights_stored_in_bf16_or_in_several_files(tmp_path):
    model = build("gemma3")
    assert model.config.tie_word_embeddings
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    build("gemma3").bfloat16().save_pretrained(tmp_path, max_shard_size="20KB")
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) > 1
    assert holds(files, model)
    assert not holds(files[1:], model)
    assert not holds(files, build("gemma3"))  # those are fp32, and not what was rounded


def test_weights_that_lie_in_files_are_read_back_and_kept_in_memory_by_nobody(source, rows):
    model = load_policy(source, "cpu")
    before = snapshot(model)
    policy = Policy(model, tuning="full", rank=4, alpha=8, files=files_of(source))
    assert policy._start == files_of(source)
    train_one(policy, rows)
    trained = snapshot(policy.base)
    assert any(not torch.equal(trained[name], value) for name, value in before.items())
    policy.begin(0)
    assert all(torch.equal(value, before[name]) for name, value in snapshot(policy.base).items())


def test_files_of_other_weights_are_not_started_from(source, rows):
    model = load_policy(source, "cpu")
    with torch.no_grad():
        model.model.norm.weight.mul_(2)
    before = snapshot(model)
    policy = Policy(model, tuning="full", rank=4, alpha=8, files=files_of(source))
    train_one(policy, rows)
    policy.begin(0)
    assert all(torch.equal(value, before[name]) for name, value in snapshot(policy.base).items())


def test_a_kept_start_in_a_file_is_where_every_cell_begins(source, rows, tmp_path):
    policy = Policy(load_policy(source, "cpu"), tuning="full", rank=4, alpha=8, files=files_of(source))
    train_one(policy, rows)
    policy.adopt(tmp_path / "start.safetensors")
    kept = snapshot(policy.base)
    fresh = Policy(load_policy(source, "cpu"), tuning="full", rank=4, alpha=8, files=files_of(source))
    fresh.start_from(tmp_path / "start.safetensors")
    train_one(fresh, rows)
    for each in (policy, fresh):
        each.begin(0)
        assert all(torch.equal(value, kept[name]) for name, value in snapshot(each.base).items())
