"""Where models come from: random, a folder, a hub id through the real client, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config

from harness.errors import UsageError
from harness.model.sources import (
    base_learning_rate,
    find,
    folder,
    load_policy,
    load_tokenizer,
    parameter_count,
    token_limit,
)
from harness.model.weights import require_whole
from harness.options.models import ENTRIES
from tests import hub

FIND = """\
import json, sys
from harness.model.sources import find, load_policy, load_tokenizer
from harness.errors import UsageError
from harness.model.weights import require_whole
try:
    source = find("someone/some-model", sys.argv[1] if len(sys.argv) > 1 else None)
    load_policy(source, "cpu"), load_tokenizer(source)
    print(json.dumps({"revision": source.revision, "digest": source.digest}))
except UsageError as error:
    print(error.messages[0])
"""


def test_the_random_model_is_the_same_everywhere(source):
    assert folder("tiny").is_dir()
    one, two = (load_policy(source, "cpu").state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert parameter_count(source) == sum(p.numel() for p in load_policy(source, "cpu").parameters())


def test_a_packaged_name_keeps_its_own_rate_and_limit_and_others_follow_their_size(source, tmp_path):
    assert base_learning_rate(source) == ENTRIES["tiny"].lr and token_limit(source) == ENTRIES["tiny"].max_tokens
    copy = as_folder(source, tmp_path)
    assert base_learning_rate(find(str(copy))) == 1e-5 and token_limit(find(str(copy))) == 1024


def test_no_more_tokens_are_read_than_a_table_of_positions_holds(source, tmp_path):
    GPT2Config(n_positions=64, n_embd=8, n_layer=1, n_head=1).save_pretrained(tmp_path)
    table = find(str(tmp_path), weights_needed=False)
    assert (token_limit(table), token_limit(table, 64), token_limit(table, 32)) == (64, 64, 32)
    with pytest.raises(UsageError, match="max_tokens=65: model '.*' has 64 positions"):
        token_limit(table, 65)
    assert token_limit(source, 100_000) == 100_000


def as_folder(source, tmp_path):
    """The tiny model as somebody's own folder."""
    load_policy(source, "cpu").save_pretrained(tmp_path / "own")
    load_tokenizer(source).save_pretrained(tmp_path / "own")
    return tmp_path / "own"


def test_a_folders_digest_follows_its_weights_and_not_the_library_that_wrote_it(source, tmp_path):
    own = as_folder(source, tmp_path)
    first = find(str(own))
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps(config | {"transformers_version": "0.0"}))
    assert find(str(own)).digest == first.digest
    model = load_policy(first, "cpu")
    with torch.no_grad():
        model.model.norm.weight += 1
    model.save_pretrained(own)
    assert find(str(own)).digest != first.digest
    assert find(str(own)).tokenizer_digest == first.tokenizer_digest


def test_a_chat_template_is_part_of_the_tokenizers_digest(source, tmp_path):
    own = as_folder(source, tmp_path)
    before = find(str(own)).tokenizer_digest
    (own / "chat_template.jinja").write_text("{{ messages }}")
    assert find(str(own)).tokenizer_digest != before


def ask(tmp_path, *, endpoint: str, offline: bool, revision: str = "") -> str:
    """Finds and loads a hub id in a fresh process, because the client reads its environment once."""
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": str(int(offline)),
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    command = [sys.executable, "-c", FIND, *([revision] if revision else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_a_hub_id_is_downloaded_pinned_and_found_again_offline(source, tmp_path):
    own = as_folder(source, tmp_path)
    files = {path.name: path.read_bytes() for path in own.iterdir()}
    files["pytorch_model.bin"] = b"never fetched"
    with hub.serve(files, "someone/some-model", "models") as endpoint:
        online = json.loads(ask(tmp_path, endpoint=endpoint, offline=False))
        missing = ask(tmp_path, endpoint=endpoint, offline=True, revision="0" * 40)
    assert online == {"revision": hub.COMMIT, "digest": hub.COMMIT}
    assert json.loads(ask(tmp_path, endpoint="http://127.0.0.1:9", offline=True)) == online
    assert "cannot be reached" in missing
    assert not list((tmp_path / "home").rglob("pytorch_model.bin"))


@pytest.mark.parametrize("status", [404, 500])
def test_a_hub_that_does_not_answer_well_is_said(tmp_path, status):
    with hub.serve_errors(status) as endpoint:
        said = ask(tmp_path, endpoint=endpoint, offline=False)
    assert said.startswith("model 'someone/some-model':") and "smollm2-135m" in said


def test_a_name_that_cannot_be_a_hub_id_says_what_it_could_be():
    with pytest.raises(UsageError, match="no folder, no hub id"):
        find("a/b/c/d")


def test_only_models_without_a_hub_have_a_packaged_folder():
    with pytest.raises(UsageError, match="no packaged folder"):
        folder("gpt2")


def test_a_folder_that_lacks_weights_is_refused_before_and_while_it_is_loaded(source, tmp_path):
    place = tmp_path / "model"
    shutil.copytree(source.folder, place)
    weights = load_file(place / "model.safetensors")
    lost = weights.pop("model.layers.1.mlp.down_proj.weight")
    save_file(weights, place / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, match="weights are missing: its .* hold 90,432 numbers, and the model has 98,624"):
        require_whole(find(str(place)))
    # Buffers that some files hold beside the weights can hide what is missing from a count.
    save_file({**weights, "model.mask": lost.repeat(2, 1)}, place / "model.safetensors", {"format": "pt"})
    require_whole(find(str(place)))
    with pytest.raises(UsageError, match="1 weights are missing, the first model.layers.1.mlp.down_proj.weight"):
        load_policy(find(str(place)), "cpu")


def test_quantised_weights_are_refused(source, tmp_path):
    place = tmp_path / "model"
    shutil.copytree(source.folder, place)
    config = json.loads((place / "config.json").read_text()) | {"quantization_config": {"quant_method": "awq"}}
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="is quantised"):
        require_whole(find(str(place)))
