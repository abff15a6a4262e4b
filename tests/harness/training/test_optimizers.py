"""Optimizers: one for each name, its state whole before the first step, its memory as declared."""

from __future__ import annotations

import pytest
import torch

from harness.experiment.learning_rate import Schedule
from harness.options.optimizers import OPTIMIZERS
from harness.training.optimizers import FACTORIES, adamw, make_optimizer

each = pytest.mark.parametrize("name", OPTIMIZERS)


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(40, 70, generator=torch.Generator().manual_seed(0)))


def tensors(optimizer: torch.optim.Optimizer, p: torch.nn.Parameter) -> dict[str, torch.Tensor]:
    return dict(optimizer.state[p])


def test_every_name_has_its_factory():
    assert FACTORIES.keys() == OPTIMIZERS.keys()


@each
def test_the_state_is_there_before_the_first_step_and_stays_where_it_is(name):
    p = parameter()
    optimizer = make_optimizer([p], Schedule(1e-2, optimizer=name))
    before, start = tensors(optimizer, p), p.detach().clone()
    p.grad = torch.ones_like(p)
    optimizer.step()
    after = tensors(optimizer, p)
    assert before.keys() == after.keys() and all(after[key] is value for key, value in before.items())
    assert (p.detach() < start).all()  # against the gradient


@each
def test_its_memory_is_the_declared_number_of_bytes_a_parameter(name):
    p = parameter()
    held = sum(value.nbytes for value in tensors(make_optimizer([p], Schedule(1e-2, optimizer=name)), p).values())
    assert held / p.numel() == pytest.approx(OPTIMIZERS[name].state_bytes, abs=0.01)  # the count of steps is one number


@each
def test_a_rate_of_zero_moves_nothing_and_the_rate_can_be_set_at_each_step(name):
    p = parameter()
    optimizer = make_optimizer([p], Schedule(1.0, weight_decay=0.1, optimizer=name))
    start = p.detach().clone()
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert torch.equal(p.detach(), start)


@each
def test_trl_knows_its_name(name):
    training_args = pytest.importorskip("transformers.training_args")
    assert OPTIMIZERS[name].trl in {known.value for known in training_args.OptimizerNames}


def test_adamw_with_its_state_made_before_is_torchs_own():
    schedule, drawn = Schedule(0.1, weight_decay=0.01), parameter().detach()
    results = []
    for make in (adamw, lambda ps, s: torch.optim.AdamW(ps, lr=s.lr, weight_decay=s.weight_decay, fused=True)):
        p = torch.nn.Parameter(drawn.clone())
        optimizer = make([p], schedule)
        for scale in (1.0, -0.5, 2.0):
            p.grad = drawn * scale
            optimizer.step()
        state = tensors(optimizer, p)
        assert state.keys() == {"step", "exp_avg", "exp_avg_sq"}
        results.append([p.detach(), *state.values()])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs) and ours.dtype == theirs.dtype and ours.device == theirs.device


def test_the_first_step_of_adamw_is_the_rate_and_the_decay_by_hand():
    p = torch.nn.Parameter(torch.tensor([2.0, -4.0]))
    optimizer = adamw([p], Schedule(0.1, weight_decay=0.5))
    p.grad = torch.tensor([3.0, -0.2])
    optimizer.step()
    # Bias-corrected moments of one gradient g are g and g^2, so the step is the rate times its sign.
    assert p.tolist() == pytest.approx([2.0 * (1 - 0.1 * 0.5) - 0.1, -4.0 * (1 - 0.1 * 0.5) + 0.1])
