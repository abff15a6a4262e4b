"""Weights, gradients and AdamW's moments split over the processes of a launch (FSDP2 of torch).

A pass of the model gathers a layer's weights before it and lets them go after it, and a backward pass leaves each
process its part of the summed gradient: so every process makes as many passes as any other, whatever its rows.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from transformers.modeling_layers import GradientCheckpointingLayer

from harness.compute import ranks


def shard(model: nn.Module, device: str) -> nn.Module:
    """Splits the model, layer by layer, and moves this process's part to its device.

    Gradients are sums over the processes, not FSDP's means: a batch's loss is divided by its own size already.
    """
    model.requires_grad_(True)  # gathered weights keep what their first pass saw
    mesh = init_device_mesh(device.partition(":")[0], (ranks.processes(),))
    for layer in [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    ranks.shard()
    return model


def whole(value: Tensor) -> Tensor:
    """A tensor's full value, gathered from all processes where it is split over them."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value
