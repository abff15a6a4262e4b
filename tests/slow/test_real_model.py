"""The packaged language model: its log-probs, its template, and the main job on real preferences."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import results
from harness.data.tokens import make_encoder
from harness.model.layout import LAYOUTS, Item
from harness.model.layout_check import EXACT, check_layout, stock_logps
from harness.model.logprobs import Scorer
from harness.model.sources import find, load_policy, load_tokenizer
from results.schema.row import VOLATILE
from suites import Message, Pair

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "hh-rlhf"
FIVE = "losses=dpo,ipo,kto,simpo,orpo"


@pytest.fixture(scope="module")
def source():
    return find("smollm2-135m")


@pytest.fixture(scope="module")
def tokenizer(source):
    return load_tokenizer(source)


@pytest.fixture(scope="module")
def model(source):
    return load_policy(source, "cpu")


def command(*argv: str, out: Path) -> subprocess.CompletedProcess[str]:
    """One run in a process of its own, as a user starts it."""
    line = [sys.executable, "-m", "harness", "run", f"out={out}", *argv]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def encoded(tokenizer, *turns: tuple[str, str], chosen="Mix water.", rejected="No."):
    encoder = make_encoder(tokenizer, template="auto", max_tokens=256, overlong="drop")
    pair = Pair("1", tuple(Message(*turn) for turn in turns), chosen, rejected, "c", "train")
    return encoder.encode([pair]).rows[0]


def test_the_chat_template_is_rendered_to_the_letter(tokenizer):
    row = encoded(tokenizer, ("user", "How?"), ("assistant", "What?"), ("user", "Paste."))
    assert tokenizer.decode(row.prompt) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\nWhat?<|im_end|>\n"
        "<|im_start|>user\nPaste.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert [tokenizer.decode(completion) for completion in row.completions] == ["Mix water.<|im_end|>", "No.<|im_end|>"]


def test_both_layouts_are_the_stock_models_log_probs_on_the_longest_row_too(model, tokenizer):
    generator = torch.Generator().manual_seed(0)
    draw = lambda n: torch.randint(100, 40000, (n,), generator=generator).tolist()  # noqa: E731
    items = [Item(draw(p), [draw(a), draw(b)]) for p, a, b in ((20, 30, 10), (180, 76, 60), (90, 5, 70))]
    assert check_layout(model, items, wanted="auto", pad=0) == ("packed", "")
    oracle = torch.cat([stock_logps(model, item) for item in items])
    for build in LAYOUTS.values():
        with torch.no_grad():
            seen = Scorer(model)(build(items, pad=0)).logps.sum(-1)
        assert (seen - oracle).abs().max() <= EXACT


def test_bf16_moves_a_sequence_by_less_than_the_step_zero_check_allows(model, tokenizer):
    row = encoded(tokenizer, ("user", "Name three rivers."), chosen="The Nile, the Rhine and the Amazon.")
    layout = LAYOUTS["packed"]([Item(row.prompt, row.completions)], pad=0)
    with torch.no_grad():
        exact, rounded = (Scorer(model, precision)(layout).logps.sum(-1) for precision in ("fp32", "bf16"))
    assert 0 < (exact - rounded).abs().max() < 1.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The five losses and the controls on the embedded suite, as `make demo` runs them, at half its size.

    The completions are people's: trained on samples of its own, a model has no likelihood to gain.
    """
    out = tmp_path_factory.mktemp("demo")
    words = ("suite=imdb-sentiment", "suite.answers=written", FIVE, "train_pairs=32", "eval_pairs=32", "max_tokens=128")
    return out, words, command(*words, out=out)


def test_the_demo_ends_with_a_table_a_report_and_the_command_to_repeat_it(demo):
    out, words, done = demo
    runs = results.read(out)
    assert sorted(runs["loss"]) == sorted(["none", "sft", "dpo", "ipo", "kto", "simpo", "orpo"])
    assert (runs["status"] == "done").all()
    repeat = f"repeat: python -m harness run out={out}"
    for part in ("dpo", "simpo", "1 seed: no claim about the losses", "report: ", repeat):
        assert part in done.stdout
    assert "about " in done.stderr  # the estimate before the first step
    page = (out / "imdb-sentiment" / "report.html").read_text()
    assert page.count("<svg") >= 5 and "http://" not in page.replace("http://www.w3.org", "")


def test_the_same_command_again_trains_nothing_and_prints_the_same_table(demo):
    out, words, done = demo
    again = command(*words, out=out)
    assert again.stdout == done.stdout
    assert ": started" not in again.stderr


def test_every_loss_moved_and_the_untrained_control_did_not(demo):
    runs = results.read(demo[0]).set_index("loss")
    assert runs.loc["none", "margin"] == 0 and runs.loc["none", "chosen_logp_drift"] == 0
    for loss in ("sft", "dpo", "ipo", "kto", "simpo", "orpo"):
        assert abs(runs.loc[loss, "margin"]) > 10 * runs.loc[loss, "noise_floor"]
    assert runs.loc["sft", "chosen_logp_drift"] > 1


def test_two_fresh_runs_of_the_real_model_agree_to_the_last_bit(tmp_path):
    words = ("suite=imdb-sentiment", "losses=dpo,kto", "controls=false", "train_pairs=24", "eval_pairs=8")
    runs = []
    for name, store in (("a", "true"), ("b", "false")):
        command(*words, "batch_size=8", "max_tokens=128", f"store={store}", out=tmp_path / name)
        frame = results.read(tmp_path / name)
        kept = [column for column in frame.columns if column not in VOLATILE]
        runs.append(frame[kept].sort_values("cell").reset_index(drop=True))
    assert (runs[0]["steps"] == 3).all()
    pd.testing.assert_frame_equal(runs[0], runs[1], check_exact=True)


def test_the_winner_is_saved_as_a_folder_that_generates(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = ("suite=imdb-sentiment", "losses=simpo", "train_pairs=16", "eval_pairs=8", "max_tokens=128", "save=best")
    command(*words, "controls=false", out=tmp_path)
    (folder,) = tmp_path.rglob("model")
    loaded, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Say hello."}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    completion = loaded.generate(**prompt, max_new_tokens=8, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert len(tokenizer.decode(completion, skip_special_tokens=True).strip()) > 0


def test_lora_trains_the_real_model_and_saves_an_adapter(tmp_path):
    words = ("suite=imdb-sentiment", "losses=dpo", "train_pairs=16", "eval_pairs=8", "max_tokens=128", "tuning=lora")
    command(*words, "controls=false", "save=all", out=tmp_path)
    (adapter,) = tmp_path.rglob("adapter_model.safetensors")
    assert adapter.stat().st_size < 50e6
    row = results.read(tmp_path).iloc[0]
    assert row["lr"] == pytest.approx(1e-4) and abs(row["margin"]) > 10 * row["noise_floor"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared/data/hh-rlhf beside the checkout")
def test_real_preferences_train_the_real_model(tmp_path):
    words = (
        "suite=hh-rlhf",
        f"suite.path={SHARED}",
        "suite.subset=helpful-base",
        "losses=dpo",
        "controls=false",
        "train_pairs=96",
        "eval_pairs=64",
        "max_tokens=192",
    )
    done = command(*words, out=tmp_path)
    row = results.read(tmp_path).iloc[0]
    assert row["steps"] == 6 and row["n"] == 64
    assert row["margin"] > 0 and row["preference_accuracy"] > 0.5
    assert row["preference_accuracy"] == row["reward_accuracy"]  # dpo's own ruler is the common one
    assert "report: " in done.stdout
