"""The alignment tax of a sweep: the start once, what can be added to finished cells, and what cannot."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from harness.errors import UsageError
from harness.evaluation.lm_eval import CapabilityError, Score
from harness.progress import Progress, Silent
from harness.sweeps import alignment_tax
from harness.sweeps.alignment_tax import complete, measure_start
from results.cells import store
from tests.harness.judged import finished_cell

START, TRAINED = (Score("everyday", "acc", value, 0.1, {}) for value in (0.75, 0.5))


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Sweeps whose starting weights have the scores `kept`; `measured` notes each model that is measured."""
    seen = SimpleNamespace(kept=None, measured=[], lines=[])

    def measure_starting_weights(identity, machine, folder, tasks):
        seen.measured.append(folder)
        return [START]

    def scores_of(identity, machine, folder, tasks, base):
        seen.measured.append((folder.parent.name, base))
        return [TRAINED]

    monkeypatch.setattr(alignment_tax, "kept_scores", lambda identity, tasks: seen.kept)
    monkeypatch.setattr(alignment_tax, "measure_starting_weights", measure_starting_weights)
    monkeypatch.setattr(alignment_tax, "scores_of", scores_of)

    def sweep(*losses, tasks=("everyday",), start="model", lacks="capability", saved=(), adapter=False):
        folders = {loss: finished_cell(tmp_path, loss, None) for loss in losses}
        for loss in saved:
            (folders[loss] / store.MODEL).mkdir()
            if adapter:
                (folders[loss] / store.MODEL / alignment_tax.ADAPTER).touch()
        places = {
            loss: SimpleNamespace(folder=folder, model_of=lambda trial, folder=folder: folder / store.MODEL)
            for loss, folder in folders.items()
        }
        return SimpleNamespace(
            identity=SimpleNamespace(source=SimpleNamespace(folder="/start")),
            machine=None,
            options=SimpleNamespace(lm_eval=tasks, start=start, model="tiny"),
            trials=[SimpleNamespace(loss=loss, label=f"{loss} seed=0") for loss in losses],
            missing=lambda trial: SimpleNamespace(measurements=[SimpleNamespace(column=lacks)]),
            places=lambda trial: places[trial.loss],
        )

    @contextlib.contextmanager
    def progress():
        display = Silent()
        with Progress(display) as shown:
            yield shown
        seen.lines += display.lines

    def act(what, given):
        with progress() as shown:
            what(given, shown)
        return given

    seen.sweep, seen.act = sweep, act
    return seen


def test_the_starting_weights_are_measured_where_they_were_not_before(made):
    made.act(measure_start, made.sweep())
    assert made.measured == ["/start"]
    made.kept = [START]
    made.act(measure_start, made.sweep())
    assert made.measured == ["/start"]


@pytest.mark.parametrize("given", [{"tasks": ()}, {"start": "sft"}])
def test_without_a_task_or_before_the_start_is_made_nothing_is_measured(made, given):
    made.act(measure_start, made.sweep(**given))
    assert made.measured == []


def test_a_task_that_cannot_be_measured_is_told_as_an_error_of_the_command(made, monkeypatch):
    def broken(*_):
        raise CapabilityError("no network")

    monkeypatch.setattr(alignment_tax, "measure_starting_weights", broken)
    with pytest.raises(UsageError, match="^no network$"):
        made.act(measure_start, made.sweep())


def test_finished_cells_are_measured_from_their_saved_models_and_the_baseline_needs_none(made):
    made.kept = [START]
    sweep = made.act(complete, made.sweep("none", "dpo", saved=["dpo"]))
    rows = {trial.loss: store.read_row(sweep.places(trial).folder) for trial in sweep.trials}
    assert made.measured == [(sweep.places(sweep.trials[1]).folder.name, "/start")]
    assert (rows["dpo"]["capability_everyday"], rows["dpo"]["capability_everyday_before"]) == (-0.25, 0.75)
    assert rows["dpo"]["capability_everyday_se"] == pytest.approx(0.02**0.5)
    assert (rows["none"]["capability_everyday"], rows["none"]["capability_everyday_before"]) == (0.0, 0.75)


@pytest.mark.parametrize(
    ("kept", "given"),
    [
        (True, {}),  # its model was not saved
        (False, {"saved": ["dpo"]}),  # the start has no scores to compare with
        (True, {"saved": ["dpo"], "adapter": True, "start": "sft"}),  # what it was trained on is gone
    ],
)
def test_a_cell_that_cannot_be_measured_is_told_to_be_trained_again(made, kept, given):
    made.kept = [START] if kept else None
    sweep = made.act(complete, made.sweep("dpo", **given))
    assert any("lm_eval: dpo seed=0 was finished without its model, so it is trained again" in s for s in made.lines)
    assert made.measured == [] and "capability" not in store.read_row(sweep.places(sweep.trials[0]).folder)


def test_an_adapter_on_the_model_itself_is_measured_on_it(made):
    made.kept = [START]
    made.act(complete, made.sweep("dpo", saved=["dpo"], adapter=True))
    assert [base for _, base in made.measured] == ["/start"]


@pytest.mark.parametrize("given", [{"tasks": ()}, {"lacks": "generation"}])
def test_cells_that_lack_other_things_alone_are_left_alone(made, given):
    made.kept = [START]
    made.act(complete, made.sweep("dpo", saved=["dpo"], **given))
    assert made.measured == [] and not any("lm_eval" in line for line in made.lines)
