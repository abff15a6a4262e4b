"""The verb `pairs`: completions of a model, rated, written as a suite file that trains."""

from __future__ import annotations

import json
import shlex

import pytest

import harness.__main__ as door
import suites
from suites import rewards
from tests.harness.conftest import Vowels, write_jsonl

TINY = "model=tiny n=16 max_new_tokens=48 device=cpu threads=1"


@pytest.fixture(autouse=True)
def toy_reward():
    rewards.register_reward("toy")(Vowels)
    yield
    rewards._makers.pop("toy")
    rewards.get.cache_clear()


@pytest.fixture
def prompts(tmp_path):
    return write_jsonl(tmp_path / "asked.jsonl", [{"prompt": f"say {n}", "id": f"q{n}"} for n in range(40)])


def tell(argv: str, capsys) -> tuple[int, str, str]:
    code = door.main(["pairs", *shlex.split(argv)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_best_against_the_worst_completion_is_written_and_loads(prompts, tmp_path, capsys):
    to = tmp_path / "made.jsonl"
    code, out, _ = tell(f"prompts={prompts} score=gold:toy to={to} {TINY}", capsys)
    suite = suites.load(str(to))
    assert code == 0 and f"{len(suite.rows)} pairs" in out and f"suite={to}" in out and len(suite.rows) > 3
    for row in suite.rows:
        assert row.score_chosen > row.score_rejected
        assert row.score_chosen == Vowels().score([], [row.chosen])[0]
    made = json.loads((tmp_path / "made.provenance.json").read_text())
    assert made["made"]["scorer"] == "gold:vowels-1" and made["made"]["n"] == 16
    assert made["read"] == 40 == len(suite.rows) + sum(made["dropped"].values())


def test_all_pairs_of_a_prompt_can_be_kept_and_share_a_cluster(prompts, tmp_path, capsys):
    best, every = tmp_path / "best.jsonl", tmp_path / "all.jsonl"
    tell(f"prompts={prompts} score=gold:toy to={best} {TINY}", capsys)
    tell(f"prompts={prompts} score=gold:toy keep=all to={every} {TINY}", capsys)
    few, many = suites.load(str(best)).rows, suites.load(str(every)).rows
    assert len(many) > len(few)
    assert {row.cluster for row in many} == {row.cluster for row in few}
    assert all(row.score_chosen > row.score_rejected for row in many)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("to=x.jsonl", "given: neither"),
        ("suite=a prompts=b to=x.jsonl", "given: both"),
        ("prompts={prompts} to=x.csv score=gold:toy", "a suite file ends in .jsonl"),
        ("prompts={prompts} to=x.jsonl", "write score=gold:SUITE"),
        ("prompts={prompts} score=gold:toy", "to= is missing"),
        ("prompts={prompts} score=gold:toy to=", "error: to= has no value"),
        ("prompts={prompts} to=x.jsonl score=gold:toi", "did you mean 'toy'"),
        ("prompts={prompts} to=x.jsonl score=best", "score=best: not known"),
        ("prompts={prompts} to=x.jsonl score=implicit:nowhere", "train it with save=all"),
        ("prompts={prompts} to={prompts} score=gold:toy", "exists already"),
        ("prompts={prompts} to=x.jsonl score=gold:toy max_tokens=20", "leaves room for 64 new tokens"),
        ("prompts={prompts} to=x.jsonl score=gold:toy dpo.beta=1", "pairs trains nothing"),
        ("prompts={prompts} to=x.jsonl score=gold:toy lrs=1", "unknown key 'lrs'"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_written(words, part, prompts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, errors = tell(words.format(prompts=prompts) + " model=tiny", capsys)
    assert code == 2 and part in errors and "Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] == ["asked.jsonl"]


def test_the_help_shows_every_key(capsys):
    assert door.main(["pairs", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(key in shown for key in ("keep", "best_worst | all", "implicit:CELL", "provenance"))
