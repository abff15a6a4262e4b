"""The gradient of a batch: the same for every cut into micro-batches and every layout, for every loss."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

import losses
from harness.gradient import NonFinite, StepZeroMismatch, accumulate_gradient
from harness.logprobs import Scorer
from harness.state import TrainState
from tests.harness.jobs import TRAINABLE, make_job


def coupled_mean(pair: losses.PairBatch, *, beta: float = 0.1) -> torch.Tensor:
    """Each pair's margin against the batch's mean margin: nothing a micro-batch could know."""
    h = pair.chosen_log_ratio - pair.rejected_log_ratio
    return (beta * (h - 1 - h.mean())).square() + beta * h.mean() - 0.01 * pair.prompt.mean


def unregistered(fn, **changes) -> losses.Loss:
    """A loss that only this file knows."""
    return dataclasses.replace(losses.get("dpo"), name=fn.__name__, fn=fn, **changes)


def state() -> TrainState:
    return TrainState({}, None, torch.Generator().manual_seed(0), {}, [])


def gradient(model, job, shift=0.02):
    """Parameter gradients of the first batch, after a fixed small drift of the weights."""
    generator = torch.Generator().manual_seed(5)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += shift * torch.randn(parameter.shape, generator=generator)
    model.zero_grad()
    statistics = accumulate_gradient(Scorer(model), job, job.batches[0], state())
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(before[name])
    return found, statistics


def assert_equal_gradients(one, two) -> None:
    for name in one:
        scale = one[name].abs().max().item()
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-5 * scale + 1e-9, msg=name)


COUPLED = unregistered(coupled_mean, needs=frozenset({"reference", "prompt"}), batch_coupled=True)
each_loss = pytest.mark.parametrize("loss", [*TRAINABLE, pytest.param(COUPLED, id=COUPLED.name)])


@each_loss
def test_one_eight_two_fours_and_eight_ones_give_the_same_gradient(model, rows, loss):
    whole, seen = gradient(model, make_job(model, rows, loss, micro_batch=8, tolerance=math.inf))
    assert sum(g.abs().sum() for g in whole.values()) > 0
    for micro_batch in (4, 1):
        parts, again = gradient(model, make_job(model, rows, loss, micro_batch=micro_batch, tolerance=math.inf))
        assert_equal_gradients(whole, parts)
        torch.testing.assert_close(seen.values.sort().values, again.values.sort().values, rtol=1e-4, atol=1e-5)


@each_loss
def test_the_shared_and_the_plain_layout_give_the_same_gradient(model, rows, loss):
    shared, _ = gradient(model, make_job(model, rows, loss, tolerance=math.inf))
    plain, _ = gradient(model, make_job(model, rows, loss, layout="plain", tolerance=math.inf))
    assert_equal_gradients(shared, plain)


@pytest.mark.parametrize("loss", ["dpo", "simpo", "sft"])
def test_the_gradient_is_that_of_the_mean_loss_taken_straight_through_the_model(model, rows, loss):
    job = make_job(model, rows, loss)
    found, _ = gradient(model, job, shift=0.0)
    model.zero_grad()
    total = 0.0
    for row in job.batches[0].rows:
        sides = [sequence(model, row.prompt, answer) for answer in row.answers]
        references = [losses.SequenceLogProbs(s.total.detach(), s.count) for s in sides]
        pair = losses.PairBatch(*sides, *references)
        total = total + job.loss.fn(pair, **job.hyperparameters).sum() / len(job.batches[0].rows)
    total.backward()
    assert_equal_gradients({name: p.grad for name, p in model.named_parameters()}, found)


def sequence(model, prompt, answer) -> losses.SequenceLogProbs:
    """One answer's log-prob with gradient, the naive way."""
    ids = torch.tensor([[*prompt, *answer]])
    logps = model(input_ids=ids).logits[0].log_softmax(-1)
    picked = logps[len(prompt) - 1 : -1].gather(1, ids[0, len(prompt) :, None])[:, 0]
    return losses.SequenceLogProbs.from_tokens(picked[None], torch.ones(1, len(answer)))


def test_dpo_starts_at_ln_2_with_half_of_its_weight(model, rows):
    _, seen = gradient(model, make_job(model, rows, "dpo"), shift=0.0)
    assert seen.values.mean().item() == pytest.approx(math.log(2), abs=1e-4)
    assert (seen.weights / 0.1).mean().item() == pytest.approx(0.5, abs=1e-3)


def test_ipo_starts_at_a_quarter_of_the_inverse_squared_beta(model, rows):
    _, seen = gradient(model, make_job(model, rows, "ipo"), shift=0.0)
    assert seen.values.mean().item() == pytest.approx(1 / (4 * 0.1**2), abs=1e-2)


def test_kto_starts_at_one_half_on_pairs(model, rows):
    _, seen = gradient(model, make_job(model, rows, "kto"), shift=0.0)
    assert seen.values.mean().item() == pytest.approx(0.5, abs=1e-4)
    assert len(seen.values) == 16


def test_statistics_know_which_answer_was_preferred(model, rows):
    _, seen = gradient(model, make_job(model, rows, "dpo"), shift=0.0)
    assert seen.preferred.tolist() == [True, False] * 8


def test_a_reference_of_other_weights_stops_the_cell_at_step_zero(model, rows):
    with pytest.raises(StepZeroMismatch, match="dpo: at step 0 policy and reference differ by"):
        gradient(model, make_job(model, rows, "dpo"), shift=0.05)


def test_a_reference_free_loss_looks_at_no_reference(model, rows):
    job = make_job(model, rows, "simpo", reference={})
    found, _ = gradient(model, job, shift=0.05)
    assert all(g.isfinite().all() for g in found.values())


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_step_and_rows(model, rows):
    def nan_sometimes(pair: losses.PairBatch, *, beta: float) -> torch.Tensor:
        return pair.chosen.total * math.nan

    with pytest.raises(NonFinite, match=r"nan_sometimes: loss nan.* at step 0 \(learning rate .*; rows "):
        gradient(model, make_job(model, rows, unregistered(nan_sometimes)), shift=0.0)


@pytest.mark.parametrize("micro_batch", [8, 2])
def test_a_running_mean_counts_every_answer_of_an_optimizer_step_once(model, rows, micro_batch):
    job, kept = make_job(model, rows, "bco", micro_batch=micro_batch), state()
    for batch, answers in zip(job.batches[:2], (16, 32), strict=True):
        accumulate_gradient(Scorer(model), job, batch, kept)
        assert kept.loss_state["bco_count"] == answers
