"""What a cell's training is looked on by: lines of its log, evaluations on the way."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from harness.cells.callbacks import Evaluations, StepLog
from harness.cells.cell import CellRunner, run_cell
from harness.cells.sweep import prepare_sweep
from harness.compute.machine import resolve
from harness.data.tokens import Row
from harness.errors import NonFinite
from harness.options.lookup import read_options
from harness.progress import silent
from harness.training.callbacks import Callback
from harness.training.loaded_model import LoadedModel
from results.cells import store
from results.schema.row import PAIR_COLUMNS, names
from tests.harness.conftest import SMALL

ROWS = [Row(f"id{i}", f"c{i}", "test", (1, 2), ((3, 4), (5,))) for i in range(2)]
REFERENCE = [(torch.tensor([-1.0, -2.0]), torch.tensor([-4.0]))] * 2


class Watching(Callback):
    def __init__(self):
        self.tables = []

    def on_evaluation(self, table):
        self.tables.append(table)


def evaluations(steps=8, evals=3, folder=None, scores=REFERENCE, others=()) -> Evaluations:
    loaded = SimpleNamespace(
        options=SimpleNamespace(evals=evals),
        data_rows=ROWS,
        evaluation_reference=REFERENCE,
        evaluate=lambda model: scores,
    )
    job = SimpleNamespace(feed=SimpleNamespace(steps=steps), loss=SimpleNamespace(name="dpo"))
    return Evaluations(loaded, None, job, folder, others)


def test_a_line_a_step_and_the_tokens_of_each_step_alone():
    shown = []
    progress = SimpleNamespace(step=lambda *values: shown.append(values))
    log = StepLog([], progress, steps=2)
    for step, tokens in ((1, 100), (2, 250)):
        log.on_step({"step": step, "loss": 0.5, "margin": 1.25, "tokens": tokens})
    assert log.lines == ["step 1/2 loss 0.5 margin 1.25", "step 2/2 loss 0.5 margin 1.25"]
    assert shown == [(1, 0.5, 100), (2, 0.5, 150)]


def test_evaluations_are_even_over_the_steps_and_the_last_is_at_the_end():
    assert sorted(evaluations(steps=8, evals=3).due) == [3, 6, 8]
    assert sorted(evaluations(steps=2, evals=5).due) == [1, 2]  # no step is measured twice


def test_a_table_is_made_where_it_is_due_and_everybody_is_told():
    watching = Watching()
    found = evaluations(steps=4, evals=2, others=[watching])
    for step in range(1, 5):
        found.on_step({"step": float(step)})
    assert sorted(found.tables()) == [2, 4]
    assert [set(table["step"]) for table in watching.tables] == [{2}, {4}]
    assert watching.tables[1] is found.tables()[4]
    assert found.tables()[4]["policy_chosen_logp"].tolist() == [-3.0, -3.0]


def test_tables_of_an_earlier_process_are_read_from_beside_its_checkpoints(tmp_path):
    first, second = (evaluations(steps=4, evals=2, folder=tmp_path) for _ in range(2))
    first.on_step({"step": 2.0})
    second.on_step({"step": 4.0})
    declared = list(names(PAIR_COLUMNS))
    assert sorted(second.tables()) == [2, 4]
    read, made = second.tables()[2], first.measured[2]
    pd.testing.assert_frame_equal(read[declared], made[declared], check_dtype=False)


def test_weights_that_are_spoilt_end_the_cell_with_the_first_row():
    spoilt = [REFERENCE[0], (torch.tensor([-1.0, float("nan")]), torch.tensor([-4.0]))]
    with pytest.raises(
        NonFinite, match="dpo after step 8 of 8: log-probs of 1 held-out rows are not finite, the first id1"
    ):
        evaluations(scores=spoilt).on_step({"step": 8.0})


def test_who_looks_on_with_a_runner_hears_of_steps_evaluations_and_the_stored_cell(pairs_file, tmp_path):
    options, _ = read_options([*SMALL, f"suite={pairs_file}", f"out={tmp_path / 'runs'}", "losses=dpo", "evals=2"])
    sweep = prepare_sweep(options, resolve(options), silent())
    trial = next(trial for trial in sweep.trials if trial.loss == "dpo")
    told = []

    class Tracker(Callback):
        def on_step(self, row):
            told.append(("step", row["step"]))

        def on_evaluation(self, table):
            told.append(("evaluation", *set(table["step"])))

        def on_cell(self, row):
            told.append(("cell", row["status"], store.is_done(sweep.folder(trial))))

    progress = silent()
    progress.cell_started("dpo", sweep.steps(trial))
    runner = CellRunner(LoadedModel(sweep.identity, sweep.tokenizer, sweep.machine, progress), [Tracker()])
    run_cell(runner, trial, sweep.places(trial), save=False, lacks=sweep.missing(trial))
    steps = [("step", 1), ("step", 2), ("evaluation", 2), ("step", 3), ("step", 4), ("evaluation", 4)]
    assert told == [*steps, ("cell", "done", True)]
