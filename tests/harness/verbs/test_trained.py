"""A trained model is held to its reference before either is loaded."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.data.tokens import make_encoder
from harness.errors import UsageError
from harness.model.policy import ADAPTER, ADAPTER_WEIGHTS, Policy, WrongWeights
from harness.model.sources import find, load_policy
from harness.verbs.trained import find_trained, warnings_about
from suites import Message, Pair


@pytest.fixture
def model_folder(source, tmp_path: Path) -> Path:
    place = tmp_path / "trained"
    shutil.copytree(source.folder, place)
    return place


@pytest.fixture
def adapter(source, tmp_path: Path) -> Path:
    """A saved adapter of the tiny model, which names its base."""
    place = tmp_path / "adapter"
    Policy(load_policy(source, "cpu"), tuning="lora", rank=4, alpha=8).begin(0).save_pretrained(place)
    assert json.loads((place / ADAPTER).read_text())["base_model_name_or_path"] == str(source.folder)
    return place


def refusal(name: Path | str, reference) -> str:
    with pytest.raises(UsageError) as caught:
        find_trained(str(name), None, reference)
    (message,) = caught.value.messages
    return message


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def change_weights(file: Path, change) -> None:
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def test_a_whole_model_and_an_adapter_are_found_and_named_by_their_weights(source, model_folder, adapter):
    whole, small = (find_trained(str(place), None, source) for place in (model_folder, adapter))
    assert whole.digest == source.digest and small.digest != source.digest
    change_weights(adapter / ADAPTER_WEIGHTS, lambda weights: weights[min(weights)].add_(1))
    assert find_trained(str(adapter), None, source).digest != small.digest


def test_another_vocabulary_is_refused(source, model_folder):
    changed(model_folder / "config.json", vocab_size=390)
    assert "a vocabulary of 390 tokens and reference 'tiny' one of 384" in refusal(model_folder, source)


def test_tokens_of_other_ids_are_refused(source, model_folder):
    from transformers import ByT5Tokenizer

    ByT5Tokenizer(extra_ids=10).save_pretrained(model_folder)
    assert "has another vocabulary than reference 'tiny': 115 of 384 tokens" in refusal(model_folder, source)


def test_another_shape_is_refused_with_a_weight_that_differs(source, model_folder):
    changed(model_folder / "config.json", intermediate_size=64)
    message = refusal(model_folder, source)
    assert "6 weights differ" in message and "mlp.down_proj.weight is (64, 64), in the reference (64, 128)" in message


def test_missing_weights_are_refused(source, model_folder):
    change_weights(model_folder / "model.safetensors", lambda weights: weights.pop("model.norm.weight"))
    assert "weights are missing" in refusal(model_folder, source)


def test_quantised_weights_and_a_folder_s_own_code_are_refused(source, model_folder):
    changed(model_folder / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    assert "is quantised" in refusal(model_folder, source)
    changed(model_folder / "config.json", auto_map={"AutoModelForCausalLM": "own.Model"}, model_type="own")
    assert "Python code of its own" in refusal(model_folder, source)


def test_a_folder_without_a_model_and_a_name_without_a_folder_are_refused(source, tmp_path):
    assert "no config.json with *.safetensors" in refusal(tmp_path, source)
    assert "no such folder here" in refusal("nobody/nothing", source)


def test_an_adapter_of_another_base_is_refused(source, adapter, model_folder):
    change_weights(model_folder / "model.safetensors", lambda weights: weights["model.norm.weight"].add_(1))
    changed(adapter / ADAPTER, base_model_name_or_path=str(model_folder))
    assert f"was trained on {model_folder}, which is not reference 'tiny'; write reference=" in refusal(adapter, source)
    assert find_trained(str(adapter), None, find(str(model_folder))).folder == adapter


def test_an_adapter_whose_base_is_not_here_gives_a_warning(source, adapter, tokenizer):
    changed(adapter / ADAPTER, base_model_name_or_path="/elsewhere/base")
    encoder = make_encoder(tokenizer, template="auto", max_tokens=512, overlong="drop")
    trained = find_trained(str(adapter), None, source)
    assert "names /elsewhere/base as its base, which is not here" in warnings_about(trained, source, [], encoder)[0]
    changed(adapter / ADAPTER, base_model_name_or_path="tiny")
    assert warnings_about(find_trained(str(adapter), None, source), source, [], encoder) == []


def test_an_adapter_that_does_not_fit_is_refused(source, adapter, model_folder):
    changed(adapter / ADAPTER, base_model_name_or_path=None)
    change_weights(
        adapter / ADAPTER_WEIGHTS,
        lambda weights: weights.update(
            {name.replace("layers.1", "layers.7"): weights.pop(name) for name in list(weights)}
        ),
    )
    assert "layers.7" in refusal(adapter, source) and "is not there" in refusal(adapter, source)


def test_an_adapter_of_another_kind_or_without_safetensors_is_refused(source, adapter):
    changed(adapter / ADAPTER, peft_type="IA3")
    assert "is of the kind IA3" in refusal(adapter, source)
    (adapter / ADAPTER_WEIGHTS).write_bytes(b"cut off")
    assert "its files cannot be read (" in refusal(adapter, source)
    (adapter / ADAPTER_WEIGHTS).rename(adapter / "adapter_model.bin")
    assert "save it with safetensors" in refusal(adapter, source)


def test_another_chat_template_beside_the_model_gives_a_warning(source, model_folder, tokenizer):
    encoder = make_encoder(tokenizer, template="plain", max_tokens=512, overlong="drop")
    pairs = [Pair(str(i), (Message("user", f"{i}?"),), "yes", "no", str(i), "test") for i in range(4)]
    trained = find_trained(str(model_folder), None, source)
    assert warnings_about(trained, source, pairs, encoder) == []
    template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}"
    (model_folder / "chat_template.jinja").write_text(template)
    (warning,) = warnings_about(trained, source, pairs, encoder)
    assert "writes 4 of 4 rows otherwise" in warning


def test_cut_rows_and_plain_text_that_was_asked_for_give_no_warning(source, model_folder, tokenizer):
    pairs = [Pair(str(i), (Message("user", f"{i}?" * 30),), "yes", "no", str(i), "test") for i in range(4)]
    trained = find_trained(str(model_folder), None, source)
    cut = make_encoder(tokenizer, template="plain", max_tokens=40, overlong="truncate")
    assert warnings_about(trained, source, pairs, cut) == []
    both = copy.copy(tokenizer)
    both.chat_template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}"
    (model_folder / "chat_template.jinja").write_text(both.chat_template)
    for template in ("plain", "auto"):
        whole = make_encoder(both, template=template, max_tokens=512, overlong="drop")
        assert warnings_about(trained, source, pairs, whole) == []


def test_an_adapter_that_lacks_weights_or_holds_nan_is_refused_and_leaves_the_base_alone(source, model, adapter):
    policy = Policy(model, tuning="full", rank=4, alpha=8)
    ids = torch.arange(5, 25)[None]
    before = model(input_ids=ids).logits
    complete = (adapter / ADAPTER_WEIGHTS).read_bytes()
    change_weights(adapter / ADAPTER_WEIGHTS, lambda weights: weights.pop(min(weights)))
    with pytest.raises(WrongWeights, match="name different weights"):
        policy.load(adapter)
    (adapter / ADAPTER_WEIGHTS).write_bytes(complete)
    change_weights(adapter / ADAPTER_WEIGHTS, lambda weights: weights[min(weights)].fill_(float("inf")))
    with pytest.raises(WrongWeights, match="not finite numbers"):
        policy.load(adapter)
    policy.end()
    assert torch.equal(model(input_ids=ids).logits, before)


def test_weights_under_other_names_are_loaded_through_a_second_model_or_refused(model, model_folder):
    policy = Policy(model, tuning="full", rank=4, alpha=8)
    file = model_folder / "model.safetensors"
    change_weights(file, lambda weights: weights["model.norm.weight"].add_(1))
    policy.load(model_folder)
    expected = model.model.norm.weight.clone()
    # As a checkpoint of the bare body names them: without the prefix.
    change_weights(
        file, lambda weights: weights.update({name.removeprefix("model."): weights.pop(name) for name in list(weights)})
    )
    policy.load(model_folder)
    assert torch.equal(model.model.norm.weight, expected)
    change_weights(file, lambda weights: weights.pop("norm.weight"))
    with pytest.raises(WrongWeights, match="lacks 1 weights, first model.norm.weight"):
        policy.load(model_folder)
