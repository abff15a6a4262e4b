"""What one loaded model hands out to cell after cell: jobs, the reference, evaluations."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from harness.cells.sweep import prepare_sweep
from harness.compute.machine import resolve
from harness.options.lookup import read_options
from harness.progress import Progress, Silent, silent
from harness.training.loaded_model import START_TOLERANCE, LoadedModel
from tests.harness.conftest import SMALL


@pytest.fixture
def loaded(pairs_file, tmp_path):
    """loaded(*argv): a model loaded for a sweep of these words, with its trials."""

    def load(*argv: str, progress: Progress | None = None):
        options, _ = read_options([*SMALL, f"suite={pairs_file}", f"out={tmp_path / 'runs'}", *argv])
        sweep = prepare_sweep(options, resolve(options), silent())
        made = LoadedModel(sweep.identity, sweep.tokenizer, sweep.machine, progress or silent())
        return made, {trial.loss: trial for trial in sweep.trials}

    return load


def test_a_job_holds_what_its_loss_needs_and_no_more(loaded):
    made, trials = loaded("losses=dpo,kto,simpo", "epochs=3", "weight_decay=0.1")
    jobs = {name: made.job(trial, cell=name) for name, trial in trials.items() if name != "none"}
    dpo = jobs["dpo"]
    assert dpo.feed.steps == 32 // 8 * 3 and dpo.schedule.weight_decay == 0.1
    assert len(dpo.reference) == 32 and dpo.mismatched == {} and dpo.tolerance == START_TOLERANCE["fp32"]
    assert jobs["simpo"].reference == {} and len(jobs["kto"].mismatched) == 32
    assert {row.id for batch in dpo.feed.batches() for row in batch.rows} == set(dpo.reference)
    same = [[list(batch.rows) for batch in jobs[name].feed.batches()] for name in ("dpo", "simpo")]
    assert same[0] == same[1]  # every loss sees the same rows in the same order


def test_reversed_labels_reverse_the_reference_too(loaded):
    made, trials = loaded("losses=dpo", "suite.label_noise=0.5")
    drawn = made.data.draw(0, trials["dpo"].perturbations)
    reference = made.job(trials["dpo"], cell="").reference
    clean = made._memory[("train", tuple(row.id for row in drawn.rows))]
    assert 0 < len(drawn.flipped) < len(drawn.rows)
    for row in drawn.rows:
        expected = clean[row.id][::-1] if row.id in drawn.flipped else clean[row.id]
        assert all(torch.equal(one, two) for one, two in zip(reference[row.id], expected, strict=True))


def test_before_any_update_the_evaluation_is_the_reference_to_the_bit(loaded):
    made, _ = loaded("losses=dpo")
    reference = made.evaluation_reference
    scores = made.evaluate(made.policy.begin(0))
    assert len(scores) == len(made.data_rows) == 16
    for one, two in zip(scores, reference, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    packing, precision = made.noise_floors
    assert 0 <= packing < 1e-3 and precision == packing  # both fp32


def test_a_smaller_micro_batch_is_remembered_for_the_next_job_and_said(loaded):
    display = Silent()
    with Progress(display) as progress:
        made, trials = loaded("losses=simpo", progress=progress)
        job = made.job(trials["simpo"], cell="")
        made.on_out_of_memory(dataclasses.replace(job, micro_tokens=99))
    assert made.memory_ran_out and made.job(trials["simpo"], cell="").micro_tokens == 99
    assert any("going on with micro-batches of 99 tokens; no gradient changes" in line for line in display.lines)


def test_a_later_round_against_the_first_reference_may_start_away_from_it(loaded):
    made, trials = loaded("losses=dpo")
    later = dataclasses.replace(trials["dpo"], round=2)
    assert made.job(later, cell="").tolerance == math.inf


def test_a_row_without_a_partner_is_named_for_a_loss_that_needs_one(loaded):
    made, trials = loaded("losses=kto")
    made.data.__dict__["mismatched"] = {}
    with pytest.raises(ValueError, match="32 training rows have no completion of another prompt that fits"):
        made.job(trials["kto"], cell="")
