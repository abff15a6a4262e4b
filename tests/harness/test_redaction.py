"""Secrets are refused on the command line and never stored."""

from __future__ import annotations

import shlex

import pytest

from harness.__main__ import main
from harness.redaction import redacted, refusals

TOKEN = "hf_AbCdEf0123456789"
KEY = "sk-proj-9876543210zyxw"


def test_values_of_secret_variables_are_replaced_by_their_names():
    environment = {"HF_TOKEN": TOKEN, "OPENAI_API_KEY": KEY, "HOME": "/home/someone", "SHORT_KEY": "abc"}
    text = f"run judge.x={KEY} model={TOKEN}/m out=/home/someone abc"
    assert redacted(text, environment) == "run judge.x=$OPENAI_API_KEY model=$HF_TOKEN/m out=/home/someone abc"
    assert redacted("judge.base_url=https://me:pass@host/v1", {}) == "judge.base_url=https://host/v1"
    longer = {"A_KEY": "12345678", "B_KEY": "1234567890"}
    assert redacted("1234567890", longer) == "$B_KEY"


@pytest.mark.parametrize("key", ["judge.api_key", "api_key", "suite.token", "hf_token", "suite.PASSWORD", "a.secret"])
def test_a_secret_on_the_command_line_is_refused_without_repeating_it(key, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "suite=imdb-sentiment", "losses=dpo", "model=tiny", f"{key}={KEY}"]) == 2
    said = capsys.readouterr()
    assert f"{key}: a secret on a command line" in said.err and KEY not in said.err + said.out
    assert list(tmp_path.iterdir()) == []


def test_ordinary_keys_are_no_secrets():
    assert refusals(["max_tokens=8", "micro_tokens=9", "suite.keys=a", "token", "losses=dpo"]) == []


def test_no_secret_of_the_environment_reaches_a_file_of_a_run(pairs_file, tmp_path, monkeypatch, capsys):
    """A folder named after a key, a failing cell and a key in the command: everything written is searched."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import os, torch, losses\n@losses.register('mine')\n"
        "def mine(pair: losses.PairBatch, *, beta: float = 0.1):\n    return beta * pair.chosen.total\n"
    )
    words = [
        f"suite={pairs_file}",
        "losses=dpo,mine",
        "model=tiny",
        "train_pairs=16",
        "eval_pairs=4",
        "batch_size=8",
        "precision=fp32",
        "device=cpu",
        "workers=0",
        "controls=false",
        f"plugins={plugin}",
        f"out={tmp_path}/runs",
        "mine.lrs=1e30",
    ]
    main(["run", *words, f"model_revision={KEY}"])
    text = capsys.readouterr().out
    assert "model_revision=$OPENAI_API_KEY" in shlex.split(text.replace("'", ""))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 12
    for path in written:
        content = path.read_bytes() + str(path).encode()
        assert TOKEN.encode() not in content and KEY.encode() not in content, path
