"""Rows of a run: drawn, held out, and counted."""

from __future__ import annotations

import pytest

from harness.cells.inputs import rows_to_train_on
from harness.data.perturbations import PLAIN, Perturbations
from harness.errors import UsageError
from harness.options.cards import make
from harness.progress import Progress, Silent
from tests.harness.conftest import pair_rows, write_jsonl


@pytest.fixture
def prepared(source, tokenizer, tmp_path):
    path = write_jsonl(tmp_path / "pairs.jsonl", pair_rows(200))

    def load(**changes):
        display = Silent()
        with Progress(display) as progress:
            options = make({"suite": str(path), "losses": ["dpo"], **changes})
            return rows_to_train_on(options, source, tokenizer, progress), display.lines

    return load


def test_a_default_that_cannot_be_had_is_lowered_and_said(prepared):
    data, lines = prepared()
    assert data.count(PLAIN) == len(data.pool) < 512
    assert any("fewer rows than the defaults ask for" in line for line in lines)


def test_a_number_that_was_typed_is_kept_or_refused(prepared):
    data, lines = prepared(train_pairs=64, eval_pairs=8)
    assert (data.count(Perturbations(64)), len(data.validation), len(data.test)) == (64, 8, 8)
    assert not any("fewer rows" in line for line in lines)
    with pytest.raises(UsageError, match="ask for at most"):
        prepared(train_pairs=5000)


def test_no_split_shares_a_first_turn_with_another(prepared):
    data, _ = prepared()
    clusters = [{row.cluster for row in rows} for rows in (data.pool, data.validation, data.test)]
    assert not clusters[0] & clusters[1] and not clusters[0] & clusters[2] and not clusters[1] & clusters[2]


def test_the_evaluation_rows_do_not_depend_on_the_seed_and_the_drawn_ones_do(prepared):
    data, _ = prepared(train_pairs=64, eval_pairs=8)
    zero, one = ([row.id for row in data.training_rows(seed, Perturbations(64))] for seed in (0, 1))
    assert zero != one and len(set(zero)) == 64
    assert data.training_digest(0, Perturbations(64)) != data.training_digest(1, Perturbations(64))


@pytest.fixture
def mixture(source, tokenizer, tmp_path):
    """Loads a mixture of two files of 150 and `few` pairs."""

    def load(weights=(0.7, 0.3), few=150, **changes):
        others = [row | {"prompt": f"b {row['prompt']}"} for row in pair_rows(few)]
        paths = [write_jsonl(tmp_path / f"{name}.jsonl", rows) for name, rows in (("a", pair_rows(150)), ("b", others))]
        text = "+".join(f"{path}*{weight}" for path, weight in zip(paths, weights, strict=True))
        display = Silent()
        with Progress(display) as progress:
            options = make({"suite": text, "losses": ["dpo"], "eval_pairs": 10, **changes})
            return rows_to_train_on(options, source, tokenizer, progress), display.lines

    return load


def test_a_mixture_trains_and_evaluates_on_its_shares(mixture):
    data, lines = mixture(train_pairs=(40, 80))
    for count in (40, 80):
        rows = data.training_rows(1, Perturbations(count))
        assert [sum(row.source == name for row in rows) for name in "ab"] == [round(count * 0.7), round(count * 0.3)]
        assert all(row.id.startswith(f"{row.source}/") for row in rows)
    for held in (data.validation, data.test):
        assert [sum(row.source == name for row in held) for name in "ab"] == [7, 3]
    assert not any("fewer rows" in line for line in lines)


def test_a_default_is_lowered_to_what_the_scarcest_source_allows(mixture):
    data, lines = mixture(weights=(0.5, 0.5), few=60, eval_pairs=2)
    have = sum(row.source == "b" for row in data.pool)
    assert data.count(PLAIN) in (2 * have, 2 * have + 1)
    assert any("by source, train/validation/test: a " in line for line in lines)


def test_a_source_without_enough_rows_is_refused_by_name(mixture):
    with pytest.raises(UsageError, match=r"train_pairs=100: .* b \d+/\d+/\d+; ask for at most \d+"):
        mixture(weights=(0.5, 0.5), few=40, train_pairs=100)
    with pytest.raises(UsageError, match="b has no (train|validation|test) rows, so it cannot have its share"):
        mixture(few=2)


def test_overlong_rows_are_counted_beside_the_suites_own_rules(prepared):
    data, _ = prepared(max_tokens=90, batch_size=4)
    assert data.dropped["overlong"] > 0
    assert len(data.encoder.encode(data.suite.rows).rows) + data.dropped["overlong"] == 200
    assert max(row.length for row in data.pool) <= 90


def test_a_suite_for_evaluation_only_is_refused_before_anything_is_tokenised(prepared, tmp_path):
    path = write_jsonl(tmp_path / "held_out.jsonl", [{**row, "split": "test"} for row in pair_rows(4)])
    with pytest.raises(UsageError, match=r"test rows only \(4\) and is for evaluation: there is nothing to train on"):
        prepared(suite=str(path))
