"""Rounds of sampling and training: chains of cells, their pairs, their references, and how they go on when cut off."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import harness.cells.cell
import harness.cells.rounds
import results
from harness.errors import TooFewPairs, UsageError
from results.cells import store
from suites import Message, cluster_of, rewards, split_of
from suites.registry import _entries, register
from suites.sampled import Prompt, Sampled
from tests.harness.conftest import comparable, write_jsonl

NAME = "toy-rounds"
SMALL = (f"suite={NAME}", "train_pairs=16", "eval_pairs=6", "batch_size=8", "rounds=3", "lrs=1e-3", "controls=false")


class Lengths:
    """Rewards long completions, so that few of a random model's completions are rated alike."""

    id = "lengths-1"

    def score(self, prompts, completions):
        return [float(len(completion)) for completion in completions]


@pytest.fixture(autouse=True)
def toy_suite(tmp_path, monkeypatch):
    """One-sentence completions: a random model over bytes ends one now and then. `long` is a reward without a suite."""
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    texts = [f"say {number}" for number in range(200)]
    prompts = tuple(Prompt(text, (Message("user", text),), cluster_of(text), split_of(text)) for text in texts)

    @register(NAME, description="for tests")
    def toy() -> Sampled:
        return Sampled(NAME, prompts, NAME, samples=16, max_new_tokens=32, sentence=True, source="toys", revision="1")

    for name in (NAME, "long"):
        rewards.register_reward(name)(Lengths)
    yield
    _entries.pop(NAME)
    for name in (NAME, "long"):
        rewards._makers.pop(name)
    rewards.get.cache_clear()


@pytest.fixture
def rounds(command):
    """A command of these tests."""

    def tell(*argv: str, out: str = "runs"):
        given = {word.partition("=")[0] for word in argv}
        return command(*(word for word in SMALL if word.partition("=")[0] not in given), *argv, out=out)

    return tell


def read(tmp_path, out: str = "runs") -> pd.DataFrame:
    return results.read(tmp_path / out).set_index(["loss", "round"]).sort_index()


@pytest.mark.parametrize("reference", ["first", "previous"])
def test_each_round_begins_where_the_one_before_ended(rounds, tmp_path, reference):
    told = rounds("losses=dpo", f"reference={reference}")
    assert told.code == 0 and told.trained == ["dpo"] * 3
    runs = read(tmp_path)
    assert list(runs.index) == [("dpo", 1), ("dpo", 2), ("dpo", 3)] and runs["protocol"].nunique() == 1
    pairs = results.pairs(tmp_path / "runs", step="all", split=None).merge(runs.reset_index()[["cell", "round"]])
    for number in (2, 3):
        row, before = runs.loc["dpo", number], runs.loc["dpo", number - 1]
        assert row["parent"] == before["cell"] and row["reference"] == reference and row["rated_by"] == "gold:lengths-1"
        for name in ("margin", "chosen_logp_drift"):
            assert row[f"{name}_at_start"] == before[name] != row[name]
        ended = pairs[(pairs["round"] == number - 1) & (pairs["step"] == 2)]
        begun = pairs[(pairs["round"] == number) & (pairs["step"] == 0)]
        assert list(ended["policy_chosen_logp"]) == list(begun["policy_chosen_logp"])
    assert pd.isna(runs.loc["dpo", 1]["margin_at_start"]) and pd.isna(runs.loc["dpo", 1]["parent"])
    assert runs["eval_rows_digest"].nunique() == 1 and runs["train_rows_digest"].nunique() == 3
    assert pairs.groupby("pair_id")["reference_chosen_logp"].nunique().eq(1).all()
    assert not list((tmp_path / "runs").rglob("next-round"))


def test_only_the_first_reference_lets_policy_and_reference_differ_at_step_0(rounds, tmp_path):
    begun = {}
    for reference in ("first", "previous"):
        rounds("losses=dpo", f"reference={reference}", "rounds=2", out=reference)
        curves = results.curves(tmp_path / reference).merge(results.read(tmp_path / reference)[["cell", "round"]])
        first = curves[curves["step"] == 1].set_index("round")
        assert abs(first.loc[1, "reward_chosen"]) < 1e-4
        begun[reference] = abs(first.loc[2, "reward_chosen"])
    assert begun["first"] > 1e-3 > 1e-4 > begun["previous"]


def test_a_wrong_reference_is_still_found_where_none_may_differ(rounds, tmp_path, monkeypatch):
    real = harness.cells.cell.LoadedModel._reference

    def shifted(self, items, precision, what, weights=None):
        found = real(self, items, precision, what, weights)
        return [tuple(completion + 1 for completion in item) for item in found] if weights else found

    monkeypatch.setattr("harness.training.loaded_model.LoadedModel._reference", shifted)
    told = rounds("losses=dpo", "rounds=2", "reference=previous")
    row = read(tmp_path).loc["dpo", 2]
    assert told.code == 1 and row["status"] == "failed" and "at step 0 policy and reference differ" in row["reason"]


@pytest.mark.slow
def test_equal_commands_give_equal_bits_and_the_second_one_trains_nothing(rounds, tmp_path, monkeypatch):
    rounds("losses=dpo,simpo", "rounds=2", out="a")
    assert rounds("losses=dpo,simpo", "rounds=2", out="a").trained == []
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "another"))
    rounds("losses=dpo,simpo", "rounds=2", "store=false", out="b")
    runs = [comparable(results.read(tmp_path / out)) for out in "ab"]
    pd.testing.assert_frame_equal(*runs, check_exact=True)
    tables = [results.pairs(tmp_path / out, step="all", split=None) for out in "ab"]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.parametrize("killed_in", ["collect", pytest.param("save_model", marks=pytest.mark.slow)])
def test_a_command_that_was_cut_off_between_rounds_goes_on(rounds, tmp_path, monkeypatch, killed_in):
    """Cut off while round 2 samples, or while it hands its weights on."""
    rounds("losses=dpo", out="whole")
    real, calls = getattr(harness.cells.cell, killed_in), []

    def cut(*given):
        calls.append(given)
        if len(calls) == (1 if killed_in == "collect" else 2):
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(harness.cells.cell, killed_in, cut)
    assert rounds("losses=dpo").code == 130
    assert len(list((tmp_path / "runs").rglob("next-round"))) == 1
    monkeypatch.setattr(harness.cells.cell, killed_in, real)
    told = rounds("losses=dpo")
    assert told.code == 0 and told.trained == ["dpo"] * 2
    runs = [comparable(results.read(tmp_path / out)) for out in ("whole", "runs")]
    pd.testing.assert_frame_equal(*runs, check_exact=True)
    assert not list((tmp_path / "runs").rglob("next-round"))


def test_every_loss_is_asked_the_same_prompts_and_each_round_others(rounds, tmp_path, monkeypatch):
    asked: dict[tuple[str, int], list[str]] = {}
    trained: dict[str, set] = {}
    real = harness.cells.cell.collect

    def watched(loaded, trial, weights):
        data = real(loaded, trial, weights)
        questions = harness.cells.rounds.questions_of(loaded.identity.rollout, trial, data.encoder)
        asked[trial.loss, trial.round] = [question.prompt.id for question in questions]
        trained[trial.loss] = {(row.id, row.chosen) for row in data.suite.rows}
        return data

    monkeypatch.setattr(harness.cells.cell, "collect", watched)
    rounds("losses=dpo,simpo", "controls=true")
    assert {loss for loss, _ in asked} == {"dpo", "simpo", "sft"}
    for number in (2, 3):
        assert asked["dpo", number] == asked["simpo", number] == asked["sft", number]
        assert len(set(asked["dpo", number])) == 20  # 1.25 prompts a training pair
    assert not set(asked["dpo", 2]) & set(asked["dpo", 3])
    assert trained["dpo"] != trained["simpo"]
    runs = results.read(tmp_path / "runs")
    assert list(runs["loss"]).count("none") == 1 and list(runs["loss"]).count("sft") == 3
    assert (runs.loc[runs["loss"] != "none", "train_pairs"] == 16).all()


@pytest.mark.slow
def test_a_loss_without_a_reference_has_one_chain_for_both_settings(rounds, tmp_path):
    rounds("losses=simpo", "rounds=2", "save=all")
    assert rounds("losses=simpo", "rounds=2", "save=all", "reference=previous").trained == []
    assert read(tmp_path)["reference"].isna().all()


@pytest.mark.slow
def test_more_rounds_go_on_from_a_kept_model_and_retrain_a_dropped_one(rounds, tmp_path):
    rounds("losses=dpo", "rounds=2", "save=all", out="kept")
    assert rounds("losses=dpo", "save=all", out="kept").trained == ["dpo"]
    rounds("losses=dpo", "rounds=2")
    first = read(tmp_path)
    assert rounds("losses=dpo").trained == ["dpo"] * 3  # round 2's weights follow from round 1's
    again = read(tmp_path)
    assert all(again.loc["dpo", n]["margin"] == first.loc["dpo", n]["margin"] for n in (1, 2))
    assert again.loc["dpo", 3]["margin"] == read(tmp_path, "kept").loc["dpo", 3]["margin"]


@pytest.mark.slow
def test_save_best_keeps_one_model_a_round(rounds, tmp_path):
    rounds("losses=dpo,simpo", "rounds=2", "save=best")
    kept = {path.parent for path in (tmp_path / "runs").rglob("model")}
    assert sorted(store.read_row(folder)["round"] for folder in kept) == [1, 2]


@pytest.mark.slow
def test_a_lora_chain_trains_one_adapter_on(rounds, tmp_path):
    assert rounds("losses=dpo,kto", "tuning=lora", "rounds=2", "reference=previous").code == 0
    runs = read(tmp_path)
    assert runs.loc["dpo", 2]["margin_at_start"] == runs.loc["dpo", 1]["margin"] != runs.loc["dpo", 2]["margin"]


@pytest.mark.slow
def test_a_failed_round_fails_those_after_it_and_the_sweep_goes_on(rounds, tmp_path, monkeypatch):
    real = harness.cells.cell.collect

    def failing(loaded, trial, weights):
        if trial.loss == "dpo":
            raise TooFewPairs(f"round {trial.round}: no pairs")
        return real(loaded, trial, weights)

    monkeypatch.setattr(harness.cells.cell, "collect", failing)
    told = rounds("losses=dpo,simpo")
    runs = read(tmp_path)
    assert told.code == 1 and list(runs.loc["simpo"]["status"]) == ["done"] * 3
    assert list(runs.loc["dpo"]["status"]) == ["done", "failed", "failed"]
    assert runs.loc["dpo", 3]["reason"] == "round 2 of this chain failed: round 2: no pairs"
    assert rounds("losses=dpo,simpo").trained == []
    monkeypatch.setattr(harness.cells.cell, "collect", real)
    told = rounds("losses=dpo,simpo", "retry=failed")
    assert told.code == 0 and told.trained == ["dpo"] * 3  # the weights of round 1 were dropped


def test_a_policy_whose_completions_make_no_batch_ends_its_chain_with_the_reason(rounds, tmp_path, monkeypatch):
    monkeypatch.setattr(Lengths, "score", lambda self, prompts, completions: [0.0] * len(completions))
    told = rounds("losses=dpo", "rounds=2", "score=gold:long", f"suite={own_file(tmp_path)}")
    row = read(tmp_path).loc["dpo", 2]
    assert told.code == 1 and row["status"] == "failed"
    assert "round 2: answers of dpo" in row["reason"] and "none of 20 rows is left" in row["reason"]


def own_file(tmp_path):
    rows = [{"prompt": f"say {n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(120)]
    return write_jsonl(tmp_path / "mine.jsonl", rows)


@pytest.mark.slow
def test_a_file_of_your_own_is_sampled_again_with_a_reward_that_is_named(rounds, tmp_path):
    words = ("losses=dpo", "rounds=2", "score=gold:long", "max_new_tokens=400", "max_tokens=512", "batch_size=2")
    told = rounds(*words, f"suite={own_file(tmp_path)}")
    runs = read(tmp_path)
    assert told.code == 0 and runs.loc["dpo", 2]["rated_by"] == "gold:lengths-1"
    assert runs.loc["dpo", 2]["train_pairs"] >= 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rounds=0"], "rounds: "),
        (["rounds=1", "reference=previous"], "reference=previous is for later rounds, but rounds=1"),
        (["rounds=1", "score=gold:long"], "score=gold:long is for later rounds, but rounds=1"),
        (["reference=last"], "reference: "),
        (["score=silver"], "score=silver: not known"),
        (["score=gold:nowhere"], "no known reward 'nowhere'"),
        (["suite=FILE"], "has no known reward to rate new completions with; write score=gold:SUITE"),
        (["suite=FILE", "score=gold:long", "max_tokens=100", "max_new_tokens=99"], "no training prompt leaves room"),
        (["suite=FILE*0.5+FILE*0.5"], "later rounds keep no shares of a mixture"),
        (["suite=UNPAIRED", "losses=kto"], "this suite holds single rated completions"),
    ],
)
def test_what_cannot_be_sampled_again_is_refused_before_a_model_loads(rounds, tmp_path, monkeypatch, words, said):
    for place in ("training.loaded_model", "generation.suites"):
        monkeypatch.setattr(f"harness.{place}.load_policy", lambda *_: pytest.fail("a model was loaded"))
    rows = [{"prompt": f"say {n}", "completion": "good" if n % 2 else "bad", "label": bool(n % 2)} for n in range(120)]
    places = {"FILE": str(own_file(tmp_path)), "UNPAIRED": str(write_jsonl(tmp_path / "single.jsonl", rows))}
    for name, path in places.items():
        words = [word.replace(name, path) for word in words]
    if not any(word.startswith("losses=") for word in words):
        words = ["losses=dpo", *words]
    with pytest.raises(UsageError) as caught:
        rounds(*words)
    assert any(said in message for message in caught.value.messages), caught.value.messages
    assert not (tmp_path / "runs").exists()


def test_a_rounds_cell_says_what_decides_it(rounds, tmp_path):
    rounds("losses=dpo", "rounds=2")
    row = read(tmp_path).loc["dpo", 2]
    (folder,) = (tmp_path / "runs").rglob(f"dpo-{row['cell']}")
    cell = json.loads((folder / store.CELL).read_text())
    assert cell["round"]["number"] == 2 and cell["round"]["parent"] == row["parent"] and "rows" not in cell
    assert cell["round"]["reference"] == "first" and cell["round"]["asking"]["samples"] == 16


@pytest.mark.slow
def test_two_workers_keep_the_order_of_the_rounds(rounds, tmp_path):
    """In processes of their own, which know the packaged suites only."""
    words = ("losses=dpo,simpo", "rounds=2", "score=gold:imdb-sentiment", "max_new_tokens=400", "max_tokens=512")
    assert rounds(*words, "batch_size=2", "workers=2", f"suite={own_file(tmp_path)}").code == 0
    runs = read(tmp_path)
    assert (runs["status"] == "done").all() and len(runs) == 4
