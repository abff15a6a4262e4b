"""A sampled suite: completions of the model itself, labelled by a reward, as many as are needed, made once."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import pytest

import harness.generation.suites
from harness.cells.inputs import rows_to_train_on
from harness.data.expected import expected
from harness.data.perturbations import Perturbations
from harness.options.cards import make
from harness.progress import silent
from harness.verbs.plan import plan
from suites import Message, SuiteError, cluster_of, rewards, split_of
from suites.registry import _entries, register
from suites.sampled import Prompt, Sampled
from tests.harness.conftest import Vowels

NAME = "toy-sampled"


@pytest.fixture(autouse=True)
def toy_suite(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    prompts = []
    for number in range(300):
        text = f"say {number}"
        prompts.append(Prompt(f"p{number}", (Message("user", text),), cluster_of(text), split_of(text)))

    @register(NAME, description="for tests")
    def toy(*, label: str = "deterministic") -> Sampled:
        return Sampled(
            NAME, tuple(prompts), NAME, samples=16, max_new_tokens=48, label=label, source="toys", revision="r1"
        )

    rewards.register_reward(NAME)(Vowels)
    yield
    _entries.pop(NAME)
    rewards._makers.pop(NAME)
    rewards.get.cache_clear()


@pytest.fixture
def build(source, tokenizer):
    def make_data(**changed):
        options = make(
            {
                "suite": NAME,
                "losses": ["dpo"],
                "model": "tiny",
                "train_pairs": 20,
                "eval_pairs": 6,
                "batch_size": 4,
                "device": "cpu",
                **changed,
            }
        )
        return rows_to_train_on(options, source, tokenizer, silent())

    return make_data


def test_the_models_completions_become_labelled_pairs_of_every_split(build):
    data = build()
    assert Counter(row.split for row in data.suite.rows) == {"train": 21, "validation": 7, "test": 7}
    assert (data.count(Perturbations(20)), len(data.validation), len(data.test)) == (20, 6, 6)
    for row in data.suite.rows:
        assert row.score_chosen > row.score_rejected
        assert row.score_chosen == Vowels().score([""], [row.chosen])[0]
    assert data.reward == NAME and data.max_new_tokens == 48
    assert data.suite.read == len(data.suite.rows) + sum(data.suite.dropped.values())


def test_the_pairs_are_made_once_and_say_where_they_come_from(build, tmp_path, monkeypatch):
    first = build()
    monkeypatch.setattr(harness.generation.suites, "load_policy", lambda *_: pytest.fail("the model was loaded again"))
    again = build()
    assert first.suite == again.suite
    (note,) = tmp_path.rglob("*.provenance.json")
    made = json.loads(note.read_text())
    assert made["made"]["reward"] == "vowels-1" and made["made"]["model"] == "tiny" and made["pairs"] == 35
    assert str(tmp_path) not in note.read_text()


@pytest.mark.slow
def test_more_pairs_keep_the_completions_that_are_there(build):
    few, many = build(), build(train_pairs=40)
    kept = {row.id: row for row in many.suite.rows}
    assert all(kept[row.id] == row for row in few.suite.rows)


@pytest.mark.slow
def test_another_label_rule_is_another_set_of_the_same_completions(build, monkeypatch):
    sure = build()
    monkeypatch.setattr(harness.generation.suites, "load_policy", lambda *_: pytest.fail("the model was asked again"))
    drawn = build(suite_settings={"label": "bradley_terry"})
    assert drawn.suite.revision != sure.suite.revision
    pairs = {row.id: {row.chosen, row.rejected} for row in sure.suite.rows}
    assert all(pairs[row.id] == {row.chosen, row.rejected} for row in drawn.suite.rows)


def test_a_plan_samples_nothing_and_says_that_the_rows_are_not_known(build, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(harness.generation.suites, "load_policy", lambda *_: pytest.fail("the model was loaded"))
    words = {
        "suite": NAME,
        "losses": ["dpo"],
        "model": "tiny",
        "train_pairs": 20,
        "eval_pairs": 6,
        "batch_size": 4,
        "device": "cpu",
        "out": str(tmp_path / "runs"),
        "show": 1,
        "min_margin": "0.5",
    }
    assert plan(make(words), silent(), "command") == 0
    shown = capsys.readouterr().out
    assert "the completions are not sampled yet" in shown and "16 completions of each of 35 prompts" in shown
    assert "3 cells, protocol not known yet" in shown and shown.count("------------  to run") == 3
    assert "no rows to show" in shown and "reference:" not in shown and "trained on" in shown
    assert not (tmp_path / "runs").exists() and not list((tmp_path / "cache").rglob("*.jsonl"))


def test_a_plan_reads_the_completions_that_are_kept(build, monkeypatch, capsys):
    build()
    monkeypatch.setattr(harness.generation.suites, "load_policy", lambda *_: pytest.fail("the model was loaded"))
    words = {
        "suite": NAME,
        "losses": ["dpo"],
        "model": "tiny",
        "train_pairs": 20,
        "eval_pairs": 6,
        "batch_size": 4,
        "device": "cpu",
    }
    assert plan(make(words), silent(), "command") == 0
    shown = capsys.readouterr().out
    assert "not sampled yet" not in shown and "35 pairs kept of" in shown and "digests of the rows" in shown


def test_what_is_expected_has_the_prompts_and_the_longest_completions_of_what_is_sampled(build):
    data = build(train_pairs=4, eval_pairs=2)
    found = expected(data.sampled, {"train": 5, "validation": 3, "test": 3}, data.encoder)
    assert Counter(row.split for row in found.rows) == {"train": 5, "validation": 3, "test": 3}
    prompts = {row.id: row.prompt for row in found.rows}
    known = {row.id: row for rows in (data.pool, data.validation, data.test) for row in rows}
    assert known and all(known[name].prompt == prompts[name] for name in known.keys() & prompts.keys())
    assert {len(completion) for row in found.rows for completion in row.completions} == {48, 49}


def test_too_small_a_limit_leaves_no_prompt_and_says_so(build):
    with pytest.raises(SuiteError, match="overlong"):
        build(max_tokens=40)


def test_the_name_of_a_set_depends_on_what_decides_it_and_not_on_the_models_name():
    made = harness.generation.suites.Made(
        "tiny", "d", "t", "chat", 64, "p", "r", "deterministic", 0, 4, {}, "fp32", {"train": 1}
    )
    assert dataclasses.replace(made, model="other").key == made.key
    for field in dataclasses.fields(made):
        if field.name != "model":
            assert dataclasses.replace(made, **{field.name: "changed"}).key != made.key
