"""Judges by name: what is said about a wrong one, and what is built from a right one."""

import sys
import types

import pytest

from harness.judges import JudgeError, make
from harness.options.judges import KINDS, SETTINGS, JudgeSettings, defaults, judge_problem, parse


@pytest.mark.parametrize(
    "spec", ["gold", "gold:imdb-sentiment", "rm:owner/name", "openai:gpt-x", "logprob:tiny", "random", "length"]
)
def test_a_right_name_has_no_problem(spec):
    assert judge_problem(spec) is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("opena:x", "did you mean 'openai'"),
        ("openai", "write openai:MODEL"),
        ("rm:", "write rm:MODEL"),
        ("random:3", "write random"),
        ("gold:", "write gold[:SUITE]"),
        ("implicit:/no/such", "no such folder"),
    ],
)
def test_a_wrong_name_is_told_with_the_form_it_should_have(spec, said):
    assert said in judge_problem(spec)
    with pytest.raises(JudgeError, match="judge: "):
        make(spec, JudgeSettings())


def test_every_kind_says_what_it_is_and_what_it_needs():
    assert set(KINDS) >= {"gold", "rm", "openai", "logprob", "implicit", "random", "length"}
    assert all(kind.meaning and kind.needs for kind in KINDS.values())


def test_gold_is_the_suites_own_reward(monkeypatch):
    score = lambda prompts, completions: [float(completion.count("good")) for completion in completions]  # noqa: E731
    reward = types.SimpleNamespace(id="toy-123", score=score)
    module = types.ModuleType("suites.rewards")
    module.get = lambda name: reward if name == "toy" else None
    monkeypatch.setitem(sys.modules, "suites.rewards", module)
    monkeypatch.setattr("suites.rewards", module, raising=False)
    for judge in (make("gold:toy", JudgeSettings()), make("gold", JudgeSettings(suite="toy"))):
        assert judge.id == "gold:toy-123" and judge.symmetric
        assert [v.preference for v in judge.compare(["q"] * 2, ["good", "x"], ["bad", "good"])] == [1.0, 0.0]


def test_settings_are_read_from_text_with_every_problem_at_once():
    assert parse({"concurrency": "3", "base_url": "http://127.0.0.1:8000/v1/", "requests_per_minute": "auto"}) == {
        "concurrency": 3,
        "base_url": "http://127.0.0.1:8000/v1",
        "requests_per_minute": None,
    }
    with pytest.raises(ValueError) as caught:
        parse({"concurency": "3", "max_invalid": "2", "base_url": "http://user:secret@host/v1", "baseline": "best"})
    said = str(caught.value)
    assert said.count("\n") == 3 and "did you mean 'concurrency'" in said and "secret" not in said
    assert "OPENAI_API_KEY" in said


def test_every_setting_is_a_field_with_a_default_that_it_would_accept():
    for key, text in defaults().items():
        assert parse({key: text}) == {key: getattr(JudgeSettings(), key)}
    assert set(defaults()) == set(SETTINGS)
