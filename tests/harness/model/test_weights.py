"""A folder that is not the model it says ends in a sentence, and never in random weights."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.data.tokens import Row, check_ids
from harness.errors import UsageError
from harness.model.sources import find, load_policy, load_tokenizer
from harness.model.weights import require_whole
from tests.harness.conftest import SMALL


@pytest.fixture
def place(source, tmp_path):
    """A copy of the tiny model's folder, to be spoilt."""
    return shutil.copytree(source.folder, tmp_path / "own model")


def rewrite(place, change):
    save_file(change(load_file(place / "model.safetensors")), place / "model.safetensors", {"format": "pt"})


def configured(place, **changes):
    file = place / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize("text", ['{"model_type": "llama",', "{}", "[]", '{"model_type": "nosuch"}'])
def test_a_config_that_cannot_be_used_is_named(place, text):
    (place / "config.json").write_text(text)
    with pytest.raises(UsageError, match=r"own model': its config\.json cannot be used \(\w+: .*copy or save"):
        find(str(place))


@pytest.mark.parametrize("text", [None, "{"])
def test_a_tokenizer_that_is_not_there_or_is_broken_is_named(place, text):
    for file in place.glob("*token*"):
        file.unlink()
    if text:
        (place / "tokenizer_config.json").write_text(text)
    with pytest.raises(UsageError, match=r"its tokenizer cannot be loaded .*tokenizer\.save_pretrained"):
        load_tokenizer(find(str(place)))


def test_a_file_that_was_cut_off_is_named(place):
    file = place / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UsageError, match=r"model\.safetensors is no whole safetensors file \(.*copy or save it again"):
        require_whole(find(str(place)))


def test_a_shard_that_is_missing_and_weights_of_another_shape_are_refused_before_loading(place):
    rewrite(place, lambda weights: {name: value for name, value in weights.items() if "layers.1" not in name})
    with pytest.raises(UsageError, match="weights are missing: its .* copy all shards"):
        require_whole(find(str(place)))
    configured(place, intermediate_size=100)
    with pytest.raises(UsageError, match=r"is \(\d+, \d+\) in its files and \(.* by its config\.json"):
        require_whole(find(str(place)))


def test_a_model_that_does_not_continue_text_is_refused(place):
    configured(place, model_type="vit")
    with pytest.raises(UsageError, match="no causal language model can be made of"):
        require_whole(find(str(place)))


def test_weights_under_other_names_are_no_random_weights(place, source):
    require_whole(find(str(place)))
    rewrite(place, lambda weights: {f"_orig_mod.{name}": value for name, value in weights.items()})
    with pytest.raises(UsageError, match="21 weights are missing, the first .* random ones would take"):
        load_policy(find(str(place)), "cpu")
    assert load_policy(source, "cpu")  # nor is a whole folder refused


def test_a_run_on_such_weights_stops_with_one_sentence_and_no_cell(place, pairs_file, tmp_path, capsys):
    from harness.__main__ import main
    from harness.engines.worker import guarded

    rewrite(place, lambda weights: {f"_orig_mod.{name}": value for name, value in weights.items()})
    words = [*SMALL[1:], f"suite={pairs_file}", f"model={place}", "losses=dpo", f"out={tmp_path / 'runs'}"]
    assert main(["run", *words]) == 1
    said = capsys.readouterr().err
    assert "stopped: model" in said and "random ones would take their place" in said and "Traceback" not in said
    assert not list((tmp_path / "runs").rglob("row.json"))
    assert guarded(lambda: load_policy(find(str(place)), "cpu"))[0] == "stopped"  # as a worker of its own tells it


def test_a_token_without_an_embedding_is_named_before_anything_is_trained(place):
    def writing(largest, pad=0):
        return SimpleNamespace(get_vocab=lambda: {"a": 0, "z": largest}, pad_token_id=pad)

    configured(place, vocab_size=100)
    rewrite(place, lambda weights: {n: v[:100].clone() if "embed" in n else v for n, v in weights.items()})
    found = find(str(place))
    require_whole(found)
    fits, beyond = (Row("0", "0", "train", (5, 99), ((7,), (8, last))) for last in (98, 100))
    check_ids(found, [fits], writing(100))  # a word of the vocabulary that no row holds
    check_ids(found, [beyond], writing(99))  # rows need no look where every word has an embedding
    for row, tokenizer in ((beyond, writing(100)), (fits, writing(100, pad=100))):
        with pytest.raises(UsageError, match=r"writes token 100, and its embeddings end at 99; .*resize_token"):
            check_ids(found, [row], tokenizer)


def test_weights_that_are_no_numbers_stop_the_run(place):
    from harness.model.layout import Item
    from harness.model.layout_check import check_layout

    rewrite(place, lambda weights: {name: torch.full_like(value, torch.nan) for name, value in weights.items()})
    with pytest.raises(UsageError, match="off by nan nats; this model cannot be measured here"):
        check_layout(load_policy(find(str(place)), "cpu"), [Item((5, 6), ((7,), (8,)))], wanted="auto", pad=0)
