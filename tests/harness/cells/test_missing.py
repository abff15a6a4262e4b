"""What a cell lacks, and whether it has to be trained for it."""

from __future__ import annotations

import pytest

from harness.cells.missing import Missing
from harness.cells.sweep import Sweep, prepare_sweep
from harness.compute.machine import resolve
from harness.evaluation.measurements import registered
from harness.options.lookup import read_options
from harness.progress import silent
from tests.harness.conftest import SMALL

BY_COLUMN = {one.column: one for one in registered("policy", "model", "nothing")}


def lacking(*columns: str, **given) -> Missing:
    return Missing(tuple(BY_COLUMN[column] for column in columns), **given)


def test_a_cell_that_lacks_nothing_is_done():
    assert not Missing() and not Missing().needs_training and not Missing().unasked


def test_what_is_asked_of_a_policy_needs_training_only_where_its_model_is_gone():
    assert lacking("generation", "reranking") and not lacking("generation", "reranking").needs_training
    gone = lacking("reranking", has_model=False)
    assert gone.needs_training and gone.unasked


@pytest.mark.parametrize("column", ["capability", "similarity"])
def test_what_is_measured_with_the_cell_itself_needs_training(column):
    assert lacking(column).needs_training and lacking(column, "generation").needs_training
    assert not lacking(column, has_model=False).unasked


@pytest.mark.parametrize("part", ["row", "evals", "model", "weights"])
def test_a_part_of_the_cell_needs_training(part):
    assert Missing(parts=(part,)) and Missing(parts=(part,)).needs_training


@pytest.fixture
def sweep(pairs_file, tmp_path):
    def prepared(*argv: str) -> Sweep:
        own = {word.partition("=")[0] for word in argv}
        small = [word for word in SMALL if word.partition("=")[0] not in own]
        asked = [f"suite={pairs_file}", *small, "losses=dpo", f"out={tmp_path / 'runs'}", *argv]
        options = read_options(asked).options
        return prepare_sweep(options, resolve(options), silent())

    return prepared


def told(sweep: Sweep, **given) -> dict[str, list[str]]:
    """Loss -> what its cell lacks, in words."""
    found = {trial.loss: sweep.missing(trial, **given) for trial in sweep.trials}
    return {loss: [*(one.column for one in one.measurements), *one.parts] for loss, one in found.items()}


def test_a_command_lacks_what_it_asks_beyond_what_is_there(sweep, command):
    assert told(sweep()) == {"none": ["row"], "sft": ["row"], "dpo": ["row"]}
    command("losses=dpo")
    assert told(sweep()) == {"none": [], "sft": [], "dpo": []}
    assert all(map(sweep().is_finished, sweep().trials))
    assert told(sweep("save=all")) == told(sweep(), save=True) == {"none": [], "sft": ["model"], "dpo": ["model"]}
    assert told(sweep("evals=2")) == {"none": [], "sft": ["evals"], "dpo": ["evals"]}
    more = sweep("generate=2", "similarity=ches", "lm_eval=everyday")
    assert told(more)["dpo"] == told(more)["none"] == ["capability", "generation", "similarity"]
    control, dpo = (more.missing(trial) for trial in (more.trials[0], more.trials[-1]))
    assert dpo.unasked and not control.unasked


def test_a_skipped_trial_lacks_nothing(sweep):
    from dataclasses import replace

    asked = sweep()
    assert not asked.missing(replace(asked.trials[-1], skip="it cannot run"))
