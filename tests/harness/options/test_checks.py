"""Options that do not fit together are refused, each with what to do."""

from __future__ import annotations

import importlib.util

import pytest

from harness.errors import UsageError
from harness.options.checks import engine_problems, launch_problems, plan_problems, problems
from harness.options.lookup import read_options
from harness.options.run import Options
from harness.options.run_fields import RunFields

WORDS = ["suite=imdb-sentiment", "losses=dpo"]


@pytest.fixture
def ray_is_here(monkeypatch):
    real = importlib.util.find_spec

    def find(name, *more):
        return None if name == "submitit" else name == "ray" or real(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ray.cpus=2", "ray.gpus=1"], ["ray.cpus= is for engine=ray", "ray.gpus= is for engine=ray"]),
        (["engine=ray", "ray.address=nowhere"], ["auto, local or HOST:PORT"]),
        (["engine=ray", "workers=0"], ["workers=0"]),
        (["engine=ray", "checkpoint_steps=5"], ["begins again"]),
        (["engine=ray", "rounds=2"], ["rounds=2 hands weights from cell to cell"]),
        (["engine=ray", "ray.gpus=1", "device=cpu"], ["ray.gpus=1 asks for a GPU that device=cpu leaves idle"]),
        (["engine=ray", "ray.gpus=2"], ["ray.gpus", "<= 1"]),
        (["engine=pbs"], ["engine", "local, ray, slurm"]),
        (["engine=ray", "slurm.hours=2"], ["slurm.hours= is for engine=slurm"]),
        (["engine=slurm", "workers=0"], ["workers=0", "submitit package is missing"]),
        (["engine=slurm", "slurm.gpus=1", "device=cpu"], ["slurm.gpus=1 asks for a GPU that device=cpu leaves idle"]),
    ],
)
def test_what_does_not_fit_is_refused_at_once(words, said, ray_is_here):
    with pytest.raises(UsageError) as caught:
        read_options([*WORDS, *words])
    assert all(text in str(caught.value) for text in said), caught.value


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None)
    with pytest.raises(UsageError, match=r"pip install 'preference-harness\[ray\]'"):
        read_options([*WORDS, "engine=ray"])


def test_what_fits_is_accepted(ray_is_here):
    options, _ = read_options([*WORDS, "engine=ray", "ray.address=10.0.0.1:6379", "ray.gpus=0.5", "ray.memory=2.5"])
    assert (options.ray_gpus, options.ray_memory, options.ray_cpus) == (0.5, 2.5, None)


def found(**values: object) -> list[str]:
    """What is wrong with options that were each accepted."""
    return problems(RunFields(suite="x", losses=("dpo",), **values))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batch_size": 32, "train_pairs": (64, 16)}, "batch_size=32 is larger than train_pairs=16"),
        ({"start": "sft", "train_pairs": (64, 128)}, "but train_pairs=64,128 gives it several sizes"),
        ({"micro_batch": 17}, "micro_batch=17 is larger than batch_size=16; allowed: 1 to 16, or auto"),
        ({"reference": "previous"}, "reference=previous is for later rounds, but rounds=1"),
        ({"score": "gold:tldr"}, "score=gold:tldr is for later rounds, but rounds=1"),
        ({"rounds": 2, "search": "random"}, "rounds=2: search=random tries one round of each setting"),
        ({"judge": ("length", "random")}, "judge=length,random compares generated completions, but generate=0"),
        ({"refusal": "rule"}, "refusal=rule reads generated completions, but generate=0"),
        ({"rerank": 8}, "rerank=8 chooses among completions of prompts, but generate=0"),
        ({"prompts": "p.csv"}, "prompts= names what is to be answered, but generate=0"),
        ({"rerank": 1, "generate": 8}, "rerank=1 at temperature=1 gives one completion of a prompt"),
        ({"rerank": 8, "generate": 8, "temperature": 0}, "rerank=8 at temperature=0 gives one completion of a prompt"),
        ({"judge": ("length",), "generate": 8, "controls": False}, "or compare with judge.baseline=chosen"),
        (
            {"refusal": "rule", "generate": 8, "controls": False},
            "refusal= reads the completions of the baseline `none`",
        ),
    ],
)
def test_each_thing_that_does_not_fit_is_one_sentence(values, said):
    (sentence,) = found(**values)
    assert said in sentence


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"batch_size": 16, "micro_batch": 16, "train_pairs": 16},
        {"start": "sft", "train_pairs": 64},
        {"rounds": 2, "reference": "previous", "score": "gold:tldr"},
        {"judge": ("length",), "refusal": "rule", "rerank": 8, "prompts": "p.csv", "generate": 8},
        {"judge": ("length",), "generate": 8, "controls": False, "judge_settings": {"baseline": "chosen"}},
        {"generate": 8, "controls": False},
    ],
)
def test_what_fits_is_not_refused(values):
    assert found(**values) == []


def test_what_no_prompts_leave_idle_is_told_together():
    words = [sentence.split("=")[0] for sentence in found(judge=("length",), refusal="rule", rerank=8, prompts="p")]
    assert words == ["judge", "refusal", "rerank", "prompts"]


def test_what_a_plan_alone_reads_is_refused_where_it_was_typed():
    given = Options(suite="x", losses=("dpo",), devices=1, show=2)
    assert plan_problems(given) == ["devices= is for plan alone; leave it out", "show= is for plan alone; leave it out"]
    assert plan_problems(Options(suite="x", losses=("dpo",))) == []


def test_everything_that_needs_the_whole_model_is_refused_where_it_is_split(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    values = {"start": "sft", "rounds": 2, "tuning": "lora", "similarity": "ches", "generate": 8}
    values |= {"lm_eval": ("everyday",), "checkpoint_steps": 5, "save": "all"}
    (said,) = launch_problems(RunFields(suite="x", losses=("dpo",), device="cpu", shard=True, **values))
    assert said.startswith(
        "shard=true: start=sft, rounds=, tuning=lora, similarity=ches, generate=, lm_eval=, checkpoint_steps=, save= "
        "needs the whole model"
    )
    assert launch_problems(RunFields(suite="x", losses=("dpo",), device="cpu", **values)) == []


def test_an_engine_that_uses_no_other_machine_needs_no_package_and_no_settings():
    options = Options(suite="x", losses=["dpo"], workers=0).model_copy(update={"engine": "another"})
    assert engine_problems(options) == []
