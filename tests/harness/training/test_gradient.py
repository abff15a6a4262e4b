"""The gradient of a batch: the same for every cut into micro-batches and every layout, for every loss."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

import losses
from harness.errors import NonFinite
from harness.model import tiles
from harness.model.layout import LAYOUTS
from harness.model.logprobs import Scorer
from harness.training import gradient as module
from harness.training.gradient import StepZeroMismatch, accumulate_gradient
from tests.harness.architectures import CONFIGS, build, random_rows
from tests.harness.jobs import COUPLED, drifted, gradient, make_job, state, unregistered
from tests.harness.straight import mismatched_log_ratio, straight_gradient


def assert_equal_gradients(one, two) -> None:
    """Each parameter's gradient to 1e-4 of its norm."""
    assert one.keys() == two.keys()
    for name in one:
        assert (two[name] - one[name]).norm() <= 1e-4 * one[name].norm() + 1e-9, name


each_loss = pytest.mark.parametrize("loss", [*losses.names(), pytest.param(COUPLED, id=COUPLED.name)])
each_layout = pytest.mark.parametrize("layout", LAYOUTS)


@each_loss
def test_one_eight_two_fours_and_eight_ones_give_the_same_gradient(model, rows, loss):
    whole, seen = gradient(model, make_job(model, rows[:8], loss, micro_batch=8, tolerance=math.inf))
    assert sum(g.abs().sum() for g in whole.values()) > 0
    for micro_batch in (4, 1):
        parts, again = gradient(model, make_job(model, rows[:8], loss, micro_batch=micro_batch, tolerance=math.inf))
        assert_equal_gradients(whole, parts)
        torch.testing.assert_close(seen.values.sort().values, again.values.sort().values, rtol=1e-4, atol=1e-5)


@each_loss
def test_every_layout_gives_the_gradient_taken_straight_through_the_stock_model(model, rows, loss):
    job = make_job(model, rows[:8], loss, tolerance=math.inf)
    with drifted(model):
        expected = straight_gradient(model, job)
    assert sum(g.abs().sum() for g in expected.values()) > 0
    for layout in LAYOUTS:
        assert_equal_gradients(expected, gradient(model, dataclasses.replace(job, layout=layout))[0])


@pytest.mark.parametrize("loss", ["dpo", "ipo", "kto", "orpo", "orpo_prompt_nll"])
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "llama"])
def test_so_it_is_for_other_architectures_beyond_their_windows_and_in_pieces(monkeypatch, name, loss):
    monkeypatch.setattr(tiles, "WHOLE", 16)
    monkeypatch.setattr(tiles, "PIECE", 6)
    model, rows = build(name, sharper=2.0), random_rows(4)
    job = make_job(model, rows, loss, batch_size=4, tolerance=math.inf)
    with drifted(model):
        expected = straight_gradient(model, job)
    for layout in LAYOUTS:
        assert_equal_gradients(expected, gradient(model, dataclasses.replace(job, layout=layout))[0])


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


def test_statistics_know_which_completion_was_preferred(model, rows):
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


@each_layout
def test_ktos_z_is_the_same_from_a_third_branch_and_from_a_pass_of_its_own(model, rows, layout, monkeypatch):
    seen, passes = [], []
    evaluate = module.evaluate_loss
    monkeypatch.setattr(module, "evaluate_loss", lambda *args: seen.append(args[-1].kl) or evaluate(*args))
    forward = Scorer.forward
    monkeypatch.setattr(Scorer, "forward", lambda *args: passes.append(None) or forward(*args))
    whole = make_job(model, rows, "kto", micro_batch=8, layout=layout, tolerance=math.inf)
    with drifted(model):
        expected = mismatched_log_ratio(model, whole, whole.feed.batch(0).rows).item()
    assert expected > 0.1  # not at its lower bound
    passes.clear()
    gradient(model, whole)
    assert len(passes) == 1  # the mismatched completions are a branch of the same rows
    gradient(model, dataclasses.replace(whole, micro_batch=4))
    assert len(passes) == 1 + 4
    assert seen == [pytest.approx(expected, rel=1e-4, abs=1e-4)] * 3


@pytest.mark.parametrize("micro_batch", [8, 4])
def test_a_mismatched_completion_that_is_nan_stops_kto_and_is_no_drift_of_0(model, rows, micro_batch):
    job = make_job(model, rows, "kto", micro_batch=micro_batch, tolerance=math.inf)
    broken = {name: (item, tuple(a * math.nan for a in scores)) for name, (item, scores) in job.mismatched.items()}
    with pytest.raises(NonFinite, match="kto: loss nan"):
        gradient(model, dataclasses.replace(job, mismatched=broken))


def test_ktos_third_branch_gets_no_gradient(model, rows):
    job = make_job(model, rows, "kto", tolerance=math.inf)
    found, _ = gradient(model, job)
    # the same completions scored, with a z that the mismatched ones cannot change
    fixed = dataclasses.replace(
        job, loss=dataclasses.replace(job.loss, needs=frozenset({"reference"}), fn=kto_at(z_of(model, job)))
    )
    assert_equal_gradients(gradient(model, fixed)[0], found)


def z_of(model, job) -> torch.Tensor:
    with drifted(model):
        return mismatched_log_ratio(model, job, job.feed.batch(0).rows)


def kto_at(kl: torch.Tensor):
    """KTO with a constant in place of its z."""
    return lambda batch, **settings: losses.get("kto").fn(dataclasses.replace(batch, kl=kl), **settings)


@pytest.mark.parametrize("micro_batch", [8, 2])
def test_a_running_mean_counts_every_completion_of_an_optimizer_step_once(model, rows, micro_batch):
    job, kept = make_job(model, rows, "bco", micro_batch=micro_batch), state()
    for batch, completions in zip(job.feed.batches()[:2], (16, 32), strict=True):
        accumulate_gradient(Scorer(model), job, batch, kept)
        assert kept.loss_state["bco_count"] == completions


def test_prompts_longer_than_completions_are_no_part_of_the_completions_tokens(model, rows):
    assert max(len(row.prompt) for row in rows[:8]) > max(
        len(completion) for row in rows[:8] for completion in row.completions
    )
    found, seen = gradient(model, make_job(model, rows, losses.named("ld_dpo+0.5*orpo_prompt_nll"), tolerance=math.inf))
    one, apart = gradient(model, make_job(model, rows, "ld_dpo", tolerance=math.inf))
    other, _ = gradient(model, make_job(model, rows, "orpo_prompt_nll", tolerance=math.inf))
    assert_equal_gradients({name: g + 0.5 * other[name] for name, g in one.items()}, found)
    torch.testing.assert_close(seen.terms["ld_dpo"], apart.values)


def test_the_terms_of_a_sum_add_up_and_leave_state_and_draws_alone(model, rows):
    @losses.register("counting", needs={"reference"}, batch_coupled=True)
    def counting(pair: losses.PairBatch, *, beta: float = 0.1) -> torch.Tensor:
        pair.state["calls"] = pair.state.get("calls", 0) + 1
        return -beta * pair.margin * pair.state["calls"]

    kept, alone = state(), state()
    for loss, after in (("counting+0.5*sampo", kept), ("sampo", alone)):
        job = make_job(model, rows, losses.named(loss), tolerance=math.inf)
        with drifted(model):
            seen = accumulate_gradient(Scorer(model), job, job.feed.batch(0), after)
        if seen.terms:
            torch.testing.assert_close(sum(seen.terms.values()), seen.values)
    assert kept.loss_state == {"calls": 1}
    assert torch.equal(kept.generator.get_state(), alone.generator.get_state())
