"""The rows of a command: read from a file, sampled, kept from before, or expected."""

from __future__ import annotations

import pytest

from harness.cells import inputs
from harness.cells.inputs import rows_held_out, rows_planned, rows_to_train_on
from harness.data.expected import TEXT
from harness.data.perturbations import Perturbations
from harness.errors import UsageError
from harness.options.cards import make
from harness.progress import silent
from suites import Kind, Message, Pair, Suite, cluster_of, split_of
from suites.registry import _entries, register
from suites.sampled import Prompt, Sampled
from tests.harness.conftest import pair_rows, write_jsonl

NAME = "toy-inputs"
TEXTS = [f"say {number}" for number in range(80)]
PROMPTS = tuple(Prompt(text, (Message("user", text),), cluster_of(text), split_of(text)) for text in TEXTS)


@pytest.fixture
def sampled_suite(monkeypatch):
    """A sampled suite whose completions are `good` and `bad`; `asked` notes when they are made."""

    @register(NAME, description="for tests")
    def toy() -> Sampled:
        return Sampled(NAME, PROMPTS, NAME, samples=2, max_new_tokens=8, source="toys", revision="r1")

    asked = []

    def made(*given):
        asked.append(given)
        pairs = [Pair(one.id, one.messages, "good", "bad", one.cluster, one.split) for one in PROMPTS]
        return Suite(NAME, pairs, Kind.PAIRS, {}, len(pairs), "toys", "r1")

    monkeypatch.setattr(inputs, "sampled_suite", made)
    yield asked
    _entries.pop(NAME)


@pytest.fixture
def rows_of(source, tokenizer):
    def load(read, suite, **changed):
        options = make(
            {"suite": str(suite), "losses": ["dpo"], "train_pairs": 8, "eval_pairs": 2, "batch_size": 4} | changed
        )
        return read(options, source, tokenizer, silent())

    return load


def test_a_plan_of_a_file_has_the_rows_of_the_run(rows_of, pairs_file):
    run, plan = (rows_of(read, pairs_file) for read in (rows_to_train_on, rows_planned))
    assert run.training_digest(0, Perturbations(8)) == plan.training_digest(0, Perturbations(8))
    assert run.digest(run.test) == plan.digest(plan.test) and not plan.expected and plan.sampled is None


def test_an_external_checkpoint_has_the_held_out_rows_of_the_run_and_no_others(rows_of, pairs_file):
    run, held_out = (rows_of(read, pairs_file) for read in (rows_to_train_on, rows_held_out))
    assert run.digest(run.test) == held_out.digest(held_out.test)
    assert run.digest(run.validation) == held_out.digest(held_out.validation)
    assert len(run.pool) > 0 and len(held_out.pool) == 0


def test_a_file_of_test_rows_alone_is_measured_on_and_not_trained_on(rows_of, tmp_path):
    path = write_jsonl(tmp_path / "held.jsonl", [{**row, "split": "test"} for row in pair_rows(4)])
    assert len(rows_of(rows_held_out, path).test) == 2
    for read in (rows_to_train_on, rows_planned):
        with pytest.raises(UsageError, match="there is nothing to train on"):
            rows_of(read, path)


@pytest.mark.parametrize("read", [rows_to_train_on, rows_held_out])
def test_a_sampled_suite_is_sampled_and_remembers_what_it_is(rows_of, sampled_suite, read):
    data = rows_of(read, NAME)
    assert len(sampled_suite) == 1 and data.sampled.prompts == PROMPTS and not data.expected
    assert {(text.chosen, text.rejected) for text in data.texts(data.test)} == {("good", "bad")}


def test_a_plan_samples_nothing_and_says_that_its_rows_are_expected(rows_of, sampled_suite, monkeypatch):
    monkeypatch.setattr(inputs, "kept_suite", lambda *given: None)
    data = rows_of(rows_planned, NAME)
    assert sampled_suite == [] and data.expected and data.sampled.prompts == PROMPTS
    assert {text.chosen for text in data.texts(data.test)} == {TEXT}


def test_a_plan_reads_what_an_earlier_run_has_kept(rows_of, sampled_suite, monkeypatch):
    monkeypatch.setattr(inputs, "kept_suite", inputs.sampled_suite)
    run, plan = (rows_of(read, NAME) for read in (rows_to_train_on, rows_planned))
    assert not plan.expected and plan.digest(plan.test) == run.digest(run.test)
