"""Activation checkpointing: the same gradient from less memory."""

from __future__ import annotations

import pytest
import torch

from harness.layout import LAYOUTS
from harness.logprobs import Scorer
from harness.objective import item_of
from harness.recompute import recomputing


def gradients(model, layout, precision: str, recompute: bool) -> tuple[dict[str, torch.Tensor], int]:
    """Parameter gradients, and the bytes that the forward pass left for the backward pass."""
    kept: dict[int, int] = {}

    def note(tensor):
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logps = Scorer(model, precision, recompute=recompute)(layout).logps
    logps.sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}, sum(kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_equal_to_the_bit_and_less_is_kept(model, rows, layout, precision):
    batch = LAYOUTS[layout]([item_of(row) for row in rows[:6]], pad=0)
    plain, kept = gradients(model, batch, precision, recompute=False)
    again, less = gradients(model, batch, precision, recompute=True)
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert less < 0.5 * kept


def test_the_layers_have_their_own_forward_back_afterwards(model, rows):
    batch = LAYOUTS["packed"]([item_of(row) for row in rows[:2]], pad=0)
    with pytest.raises(RuntimeError, match="stop"):
        with recomputing(model, lambda: pytest.fail("not in a forward pass")):
            raise RuntimeError("stop")
    assert all("forward" not in vars(module) for module in model.modules())
    Scorer(model, recompute=True)(batch)
    assert all("forward" not in vars(module) for module in model.modules())


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="Linear has no layers that transformers can checkpoint"):
        with recomputing(torch.nn.Linear(2, 2), lambda: None):
            pass


@pytest.mark.slow
def test_a_command_with_it_trains_the_same_weights(command, tmp_path):
    command("losses=dpo", "controls=false", out="a")
    assert command("losses=dpo", "controls=false", "activation_checkpointing=true", out="a").trained == []
    assert command("losses=dpo", "controls=false", "activation_checkpointing=true", out="b").code == 0
    import results

    one, two = (results.read(tmp_path / out).iloc[0] for out in "ab")
    assert one["margin"] == two["margin"] and two["activation_checkpointing"] and not one["activation_checkpointing"]
