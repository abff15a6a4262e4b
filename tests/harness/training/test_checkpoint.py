"""What is kept of a half-done cell: where, how often, and that it goes on to the same bits."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from harness.model.logprobs import Scorer
from harness.model.sources import load_policy
from harness.training import loop
from harness.training.checkpoint import NOTE, Checkpoints
from harness.training.loop import train
from tests.harness.jobs import after_step, make_job


@pytest.mark.parametrize("loss", ["dpo", "kto", "bco", "sampo"])  # the last two have state and random numbers
def test_a_killed_run_goes_on_from_its_checkpoint_to_the_same_bits(source, rows, loss, tmp_path):
    class Killed(Exception):
        pass

    def die(step: int) -> None:
        if step == 4:
            raise Killed

    straight, broken = (load_policy(source, "cpu") for _ in range(2))
    job = make_job(straight, rows, loss, epochs=2)
    curve = train(Scorer(straight), job)
    with pytest.raises(Killed):
        train(Scorer(broken), job, [after_step(die)], Checkpoints(tmp_path, every=3))
    fresh = load_policy(source, "cpu")
    steps = []
    again = train(Scorer(fresh), job, [after_step(steps.append)], Checkpoints(tmp_path, every=3))
    assert steps == [4, 5, 6]
    expected = straight.state_dict()
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, expected[name]), name
    without_time = [[{k: v for k, v in row.items() if k != "seconds"} for row in c] for c in (curve, again)]
    assert without_time[0] == without_time[1]


def test_kept_moments_and_steps_go_where_they_were_laid_out(source, rows, tmp_path):
    """On the device that a fused AdamW wants them on, the steps too."""
    scorer = Scorer(load_policy(source, "cpu"))
    job = make_job(scorer.model, rows, "dpo")
    train(scorer, job, checkpoints=Checkpoints(tmp_path, every=2))
    state = loop._new_state(scorer, job)
    laid_out = [value for moments in state.optimizer.state.values() for value in moments.values()]
    assert state.load(tmp_path, "test")
    assert {moments["step"].item() for moments in state.optimizer.state.values()} == {2}
    found = [value for moments in state.optimizer.state.values() for value in moments.values()]
    assert all(one is two for one, two in zip(laid_out, found, strict=True))


def test_a_checkpoint_of_another_cell_or_a_damaged_one_is_not_used(source, rows, tmp_path):
    model = load_policy(source, "cpu")
    job = make_job(model, rows, "dpo")
    train(Scorer(model), job, checkpoints=Checkpoints(tmp_path, every=2))
    steps = []
    other = make_job(load_policy(source, "cpu"), rows, "dpo", cell="another")
    train(Scorer(load_policy(source, "cpu")), other, [after_step(steps.append)], Checkpoints(tmp_path, every=100))
    assert steps == [1, 2, 3]
    (file,) = tmp_path.glob("state-*.safetensors")
    file.write_bytes(file.read_bytes()[:-8])
    steps.clear()
    train(Scorer(load_policy(source, "cpu")), job, [after_step(steps.append)], Checkpoints(tmp_path, every=100))
    assert steps == [1, 2, 3]


def test_a_state_is_kept_every_so_many_steps_but_not_at_the_end_and_the_older_one_goes(model, rows, tmp_path):
    kept = []

    def look(step: int) -> None:
        kept.append(sorted(path.name for path in tmp_path.glob("state-*")))

    job = make_job(model, rows, "dpo", epochs=2)
    train(Scorer(model), job, [after_step(look)], Checkpoints(tmp_path, every=2))
    assert kept == [[], [], ["state-2.safetensors"], ["state-2.safetensors"], *[["state-4.safetensors"]] * 2]
    assert json.loads((tmp_path / NOTE).read_text())["step"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state-4.safetensors", NOTE]


def test_a_note_that_is_half_written_begins_the_cell_anew(model, rows, tmp_path):
    job = make_job(model, rows, "dpo")
    train(Scorer(model), job, checkpoints=Checkpoints(tmp_path, every=2))
    (tmp_path / NOTE).write_text((tmp_path / NOTE).read_text()[:-20])
    state = loop._new_state(Scorer(model), job)
    Checkpoints(tmp_path, every=2).resume(state, job.cell)
    assert state.step == 0 and state.curve == []


def test_another_loss_state_is_put_back_tensors_and_numbers_alike(model, rows, tmp_path):
    state = loop._new_state(Scorer(model), make_job(model, rows, "dpo"))
    kept = dataclasses.replace(state, loss_state={"mean": torch.tensor(0.25), "calls": 3}, step=5, curve=[{"step": 5}])
    kept.generator.manual_seed(7)
    kept.save(tmp_path, "cell")
    again = loop._new_state(Scorer(model), make_job(model, rows, "dpo"))
    assert again.load(tmp_path, "cell") and (again.step, again.curve) == (5, [{"step": 5}])
    assert again.loss_state["mean"].item() == 0.25 and again.loss_state["calls"] == 3
    assert torch.equal(again.generator.get_state(), kept.generator.get_state())
