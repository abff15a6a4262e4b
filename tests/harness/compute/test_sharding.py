"""Split weights, as far as one process shows it; test_ranks.py has two."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule
from transformers.modeling_layers import GradientCheckpointingLayer

from harness.compute import ranks
from harness.compute.sharding import shard, whole


def test_a_tensor_that_is_not_split_is_whole_as_it_is():
    value = torch.tensor([1.0, 2.0])
    assert whole(value) is value


def test_a_split_tensor_is_gathered():
    gathered = torch.tensor([1.0, 2.0])
    assert whole(SimpleNamespace(full_tensor=lambda: gathered)) is gathered


@pytest.fixture
def alone(monkeypatch):
    """A launch of one process, and how often its ranks were told that weights are split."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    told = []
    monkeypatch.setattr(ranks, "processes", lambda: 1)
    monkeypatch.setattr(ranks, "shard", lambda: told.append("split"))
    yield told
    dist.destroy_process_group()


def loss_of(model: torch.nn.Module) -> torch.Tensor:
    return model(torch.tensor([[5, 6, 7, 8]])).logits.float().log_softmax(-1)[..., 0].sum()


def test_a_split_model_has_each_layer_apart_and_the_same_weights_values_and_gradients(model, alone):
    model.requires_grad_(False)  # as a reference is
    split = shard(copy.deepcopy(model), "cpu")
    assert alone == ["split"]
    apart = [module for module in split.modules() if isinstance(module, FSDPModule)]
    layers = [module for module in split.modules() if isinstance(module, GradientCheckpointingLayer)]
    assert set(apart) == {split, *layers} and len(layers) == model.config.num_hidden_layers
    model.requires_grad_(True)
    values = [loss_of(one) for one in (model, split)]
    for value in values:
        value.backward()
    assert torch.equal(*values)
    found = dict(split.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(whole(found[name].detach()), parameter)
        assert torch.equal(whole(found[name].grad), parameter.grad)
