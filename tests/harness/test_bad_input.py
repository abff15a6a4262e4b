"""Wrong input: one clear message, exit code 2, nothing written."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.__main__ import main
from tests.harness.conftest import pair_rows, write_jsonl


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs a command that must be refused and returns what it said."""
    monkeypatch.chdir(tmp_path)

    def tell(*argv: str) -> str:
        defaults = {"suite": "imdb-sentiment", "losses": "dpo", "model": "tiny"}
        given = {word.partition("=")[0] for word in argv}
        common = [f"{key}={value}" for key, value in defaults.items() if key not in given]
        assert main(["run", *common, *argv]) == 2
        said = capsys.readouterr()
        assert "Traceback" not in said.err and said.out == ""
        assert not (tmp_path / "runs").exists()
        return said.err

    return tell


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("lossess=dpo", ["lossess", "did you mean", "losses"]),
        ("losses=dop", ["'dop'", "did you mean 'dpo'"]),
        ("suite=hh-rlfh", ["'hh-rlfh'", "did you mean 'hh-rlhf'"]),
        ("train_pairs=many", ["train_pairs", "many"]),
        ("lrs=fast", ["lrs", "fast"]),
        ("dpo.gamma=1", ["dpo.gamma", "beta"]),
        ("suite=missing.jsonl", ["no such file", "missing.jsonl"]),
        ("suite.subset=x", ["suite.subset", "imdb-sentiment"]),
        ("suite.label_noise=2", ["suite.label_noise: '2'", "number >= 0 and <= 1", "suite.label_noise=0"]),
        ("suite.length_balance=yess", ["suite.length_balance", "neither true nor false"]),
        ("suite.min_margin=wide", ["suite.min_margin", "'wide' is not a number >= 0, nor none"]),
        ("suite.min_margins=1", ["suite.min_margins", "did you mean 'min_margin'"]),
        ("label_noise=0.1", ["unknown key 'label_noise'", "did you mean 'suite.label_noise'"]),
        ("suite=imdb-sentiment*0.5+hh-rlfh*0.5", ["'hh-rlfh'", "did you mean 'hh-rlhf'"]),
        ("plugins=nowhere.py", ["nowhere.py"]),
        ("device=cuda:7", ["cuda:7", "cpu"]),
        ("template=chat", ["no chat template"]),
        ("model=./nowhere", ["no such folder", "./nowhere"]),
    ],
)
def test_a_wrong_word_is_named_with_what_is_allowed(refused, word, parts):
    said = refused(word)
    for part in parts:
        assert part in said


def test_all_problems_are_said_at_once(refused):
    said = refused("losses=dop", "train_pairs=-1", "nonsense=1")
    assert said.count("error:") >= 3


def test_a_path_that_is_not_there(refused):
    assert "no such file or folder: nowhere" in refused("suite=hh-rlhf", "suite.path=nowhere")


def test_a_file_without_the_needed_columns_says_which_were_found(refused, tmp_path):
    write_jsonl(tmp_path / "wrong.jsonl", [{"question": "a", "good": "b", "bad": "c"}])
    said = refused("suite=wrong.jsonl")
    assert all(name in said for name in ("question", "good", "bad", "prompt", "chosen", "rejected"))


def test_rows_that_are_all_dropped_are_counted_by_rule(refused, tmp_path):
    write_jsonl(tmp_path / "same.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "b"}] * 5)
    said = refused("suite=same.jsonl")
    assert "identical" in said and "5" in said


def test_more_pairs_than_there_are_says_how_many_there_are(refused, tmp_path):
    write_jsonl(tmp_path / "few.jsonl", pair_rows(60))
    said = refused("suite=few.jsonl", "train_pairs=1000")
    assert "train_pairs=1000" in said and "training" in said and "ask for at most" in said
    assert "eval_pairs=500" in refused("suite=few.jsonl", "eval_pairs=500", "batch_size=4", "train_pairs=8")


def test_rows_too_long_for_the_limit_are_counted(refused, tmp_path):
    write_jsonl(tmp_path / "long.jsonl", pair_rows(60))
    said = refused("suite=long.jsonl", "max_tokens=8", "batch_size=4", "train_pairs=8")
    assert "60 overlong" in said and "overlong=truncate" in said


def test_a_plugin_that_secretly_averages_over_the_batch_is_refused(refused, tmp_path):
    (tmp_path / "sly.py").write_text(
        "import losses\n"
        "@losses.register('sly', needs={'reference'})\n"
        "def sly(pair: losses.PairBatch, *, beta: float = 0.1):\n"
        "    h = pair.chosen_log_ratio - pair.rejected_log_ratio\n"
        "    return (beta * (h - h.mean())).square() - h\n"
    )
    said = refused("plugins=sly.py", "losses=sly", "suite.answers=written")
    assert "sly" in said and "batch_coupled" in said


def test_a_loss_that_needs_scores_is_refused_where_rows_have_none(refused, tmp_path):
    (tmp_path / "rated.py").write_text(
        "import losses\n"
        "@losses.register('rated', needs={'scores'})\n"
        "def rated(pair: losses.PairBatch):\n"
        "    return -pair.chosen.mean * (pair.scores[:, 0] - pair.scores[:, 1])\n"
    )
    rows = [{**row, "score_chosen": 2.0, "score_rejected": 1.0} for row in pair_rows(40)] + pair_rows(60)[40:]
    write_jsonl(tmp_path / "some.jsonl", rows)
    said = refused("suite=some.jsonl", "plugins=rated.py", "losses=dpo,rated", "batch_size=4", "train_pairs=8")
    assert re.search(r"loss 'rated' needs scores, and \d+ of \d+ training rows of some carry none", said)
    assert "score_chosen" in said


def test_a_setting_that_a_loss_refuses_is_refused_beside_others(refused):
    said = refused("losses=exo_pair", "exo_pair.label_smoothing=0.001,0", "suite.answers=written")
    assert "exo_pair.label_smoothing is 0.0, allowed: above 0" in said


def test_an_unknown_model_without_a_hub_names_the_ways_out(refused):
    said = refused("model=someone/some-model")
    assert "cannot be reached" in said and "smollm2-135m" in said


def test_a_folder_without_safetensors_is_no_model(refused, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"pickle")
    said = refused("model=old")
    assert "safetensors" in said and "pytorch_model.bin" in said


def test_the_hub_out_of_reach_names_a_path_and_the_embedded_suite(tmp_path):
    environment = os.environ | {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "home"),
    }
    words = ["suite=hh-rlhf", "losses=dpo", "model=tiny", f"out={tmp_path / 'o'}"]
    command = [sys.executable, "-m", "harness", "run", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 2
    assert "suite.path=" in done.stderr and "imdb-sentiment" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()


def test_a_truncated_gzip_is_named(refused, tmp_path):
    whole = gzip.compress("\n".join(map(json.dumps, pair_rows(60))).encode())
    (tmp_path / "half.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert "half.jsonl.gz" in refused("suite=half.jsonl.gz")


def test_results_in_a_folder_of_the_users_do_not_shadow_ours(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "__init__.py").write_text("raise RuntimeError('shadowed')")
    done = subprocess.run(
        [sys.executable, "-m", "harness", "list", "suites"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert done.returncode == 2 and str(tmp_path / "results") in done.stderr
