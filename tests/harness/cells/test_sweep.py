"""A command before a model is loaded: places, rounds, steps, and every reason why it cannot begin."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

import losses
from harness.cells import sweep as module
from harness.cells.sweep import Sweep, plan_sweep, prepare_sweep, probe_losses
from harness.compute.machine import resolve
from harness.errors import UsageError
from harness.experiment.trial import Trial
from harness.options.lookup import read_options
from harness.progress import silent
from results.cells import store
from suites import Kind, rewards
from tests.harness.conftest import SMALL, Vowels, pair_rows, write_jsonl
from tests.harness.judged import PAIRS


@pytest.fixture
def prepared(pairs_file, tmp_path):
    """Prepares a sweep of one loss without controls; `vowels` is a reward for later rounds."""
    rewards.register_reward("vowels")(Vowels)

    def prepare(*argv: str, by=prepare_sweep) -> Sweep:
        words = [f"suite={pairs_file}", *SMALL, "losses=dpo", "controls=false", f"out={tmp_path / 'runs'}"]
        own = {word.partition("=")[0] for word in argv}
        options = read_options([*(w for w in words if w.partition("=")[0] not in own), *argv]).options
        return by(options, resolve(options), silent(), "the command")

    yield prepare
    rewards._makers.pop("vowels")
    rewards.get.cache_clear()


ROUNDS = ("rounds=2", "score=gold:vowels", "max_new_tokens=8")


def end(sweep: Sweep, trial: Trial) -> None:
    """Stores the trial's cell as done, untrained."""
    sweep.folder(trial).mkdir(parents=True)
    row = {"loss": trial.loss, "cell": "abc", "protocol": "p", "evals": sweep.options.evals}
    store.write_cell(sweep.folder(trial), cell={}, row=row, pairs=PAIRS, curve=None, log="")


def test_a_cell_lies_in_its_suites_folder_under_its_losss_name_and_id(prepared, tmp_path):
    sweep = prepared("controls=true")
    for trial in sweep.trials:
        cell = sweep.identity.cell_id(trial)
        assert sweep.folder(trial) == tmp_path / "runs" / "pairs" / f"{trial.loss}-{cell}"
    assert sweep.place == tmp_path / "runs" / "pairs" and sweep.command == "the command"
    assert not sweep.place.exists()


def test_a_plan_names_the_cells_as_the_run_does(prepared):
    run, plan = prepared(), prepared(by=plan_sweep)
    assert [run.folder(trial) for trial in run.trials] == [plan.folder(trial) for trial in plan.trials]


@pytest.mark.parametrize(
    ("words", "steps"), [((), 4), (("epochs=3",), 12), (("train_pairs=39",), 4), (("batch_size=32",), 1)]
)
def test_a_trials_steps_are_its_full_batches_and_the_untrained_baseline_has_none(prepared, words, steps):
    sweep = prepared("controls=true", *words)
    assert {trial.loss: sweep.steps(trial) for trial in sweep.trials} == {"none": 0, "sft": steps, "dpo": steps}


def test_a_round_follows_each_but_the_last_and_none_the_untrained_baseline(prepared):
    sweep = prepared("controls=true", *ROUNDS)
    none, first, second = sweep.trials[0], *sweep.trials[-2:]
    assert sweep.next_round(first) == second and sweep.next_round(second) is None and sweep.next_round(none) is None


def test_a_model_is_needed_until_the_next_round_is_done_and_then_it_is_forgotten(prepared):
    sweep = prepared(*ROUNDS)
    first, second = sweep.trials
    kept = sweep.places(first).next_round
    kept.mkdir(parents=True)
    sweep.forget(first)
    assert sweep.is_needed(first) and kept.is_dir() and not sweep.is_needed(second)
    end(sweep, second)
    assert sweep.is_finished(second)
    sweep.forget(first)
    assert not sweep.is_needed(first) and not kept.exists()


def test_a_next_round_that_failed_needs_no_model_unless_it_is_tried_again(prepared):
    sweep, again = prepared(*ROUNDS), prepared(*ROUNDS, "retry=failed")
    first, second = sweep.trials
    assert sweep.failure(second) is None
    store.write_failed(sweep.folder(second), cell={}, row={"loss": "dpo", "cell": "abc", "reason": "no pairs"})
    assert sweep.failure(second) == "no pairs"
    assert not sweep.is_needed(first) and again.is_needed(first)


def test_a_search_needs_validation_pairs():
    options = SimpleNamespace(search="random", suite="mine.jsonl")
    examples = SimpleNamespace(suite=SimpleNamespace(kind=Kind.EXAMPLES), validation=[1])
    none = SimpleNamespace(suite=SimpleNamespace(kind=Kind.PAIRS), validation=[])
    for data, why in ((examples, "holds single rated completions"), (none, "has no validation pairs")):
        with pytest.raises(UsageError, match=f"search=random selects by .* suite=mine.jsonl {why}; leave out search="):
            module._require_searchable(options, data)
    module._require_searchable(options, SimpleNamespace(suite=none.suite, validation=[1]))


def test_a_loss_that_reads_ratings_needs_one_for_every_row_that_may_be_drawn(prepared, tmp_path):
    @losses.register("rated", needs={"scores"})
    def rated(pair: losses.PairBatch):
        return -pair.chosen.total * (pair.scores[:, 0] - pair.scores[:, 1])

    def file(name, unrated):
        rows = [
            row if number < unrated else row | {"score_chosen": 2.0, "score_rejected": 1.0}
            for number, row in enumerate(pair_rows(120))
        ]
        return f"suite={write_jsonl(tmp_path / name, rows)}"

    assert [trial.loss for trial in prepared(file("all.jsonl", 0), "losses=rated").trials] == ["rated"]
    some = file("some.jsonl", 60)
    with pytest.raises(UsageError, match=r"loss 'rated' needs scores, and \d+ of \d+ training rows of some carry none"):
        prepared(some, "losses=rated")
    prepared(some, "losses=rated", "train_pairs=16", "suite.min_margin=0.5")  # which leaves the unrated rows out
    prepared(some, "losses=dpo")


def trial(loss: str, **hyperparameters: float) -> Trial:
    return Trial(loss, hyperparameters, 1e-5, 0, control=False)


def test_every_loss_that_fails_on_random_log_probs_is_named_at_once():
    @losses.register("broken")
    def broken(pair: losses.PairBatch):
        return pair.chosen.mean.log()

    @losses.register("hungry", needs={"stats:appetite"})
    def hungry(pair: losses.PairBatch):
        return -pair.chosen.total

    with pytest.raises(UsageError) as caught:
        probe_losses([trial("broken"), trial("dpo", beta=0.1), trial("hungry")])
    first, second = caught.value.messages
    assert first.startswith("loss 'broken' returns nan")
    assert second.startswith("loss 'hungry' needs stats:appetite, which is not computed here; statistics: ")


def test_a_loss_is_tried_at_every_setting_and_not_where_it_is_skipped():
    @losses.register("breaks_beyond_one")
    def breaks(pair: losses.PairBatch, *, beta: float = 0.1):
        return -pair.chosen.total * (1 - beta) ** 0.5 if beta < 1 else pair.chosen.mean.log()

    probe_losses([trial("breaks_beyond_one", beta=0.1), trial("breaks_beyond_one", beta=0.5)])
    beyond = trial("breaks_beyond_one", beta=2.0)
    with pytest.raises(UsageError, match="breaks_beyond_one"):
        probe_losses([trial("breaks_beyond_one", beta=0.1), beyond])
    probe_losses([replace(beyond, skip="it cannot run"), replace(beyond, loss="none")])
