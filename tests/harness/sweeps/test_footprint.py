"""Memory from a configuration alone: the worked example, sharding, adapters, and what a process really takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.model.layout import LAYOUTS, Item
from harness.model.logprobs import Scorer
from harness.model.sources import folder
from harness.sweeps.footprint import KEPT, Shape, footprint, gigabytes, shape

ROOT = Path(__file__).resolve().parents[2]
SEVENTY = Shape(70 * 10**9, adapter=10**9, hidden=8192, feed_forward=28672, layers=80, vocabulary=128256)
LAYER = 35 * 8192 + 9 * 28672  # bytes a token, bf16


def test_the_worked_example_of_seventy_billion_parameters():
    two = footprint(SEVENTY, weight_bytes=2, second_model=True)
    assert [part / 1e9 for part in two] == [140, 140, 140, 560, 0, 0] and two.total == 980e9
    assert footprint(SEVENTY, weight_bytes=2).total == 840e9
    assert footprint(SEVENTY, weight_bytes=2, devices=8).total == 105e9


def test_an_adapter_needs_no_second_model_and_trains_its_own_parameters_alone():
    lora = footprint(SEVENTY, tuning="lora", weight_bytes=2, second_model=True)
    assert [part / 1e9 for part in lora][:4] == [144, 0, 4, 8]


def test_activations_follow_the_tokens_and_checkpointing_keeps_the_inputs_of_layers():
    plain, less = (footprint(SEVENTY, tokens=1000, checkpointing=c) for c in (False, True))
    assert plain.activations == 1000 * 80 * LAYER and less.activations == 1000 * (80 * 4 * 8192 + LAYER)
    assert plain.logits == 4 * 2**26  # a chunk, whatever the vocabulary
    assert footprint(SEVENTY, tokens=1, devices=4).activations == 80 * LAYER  # each device has its own micro-batch


def test_sizes_are_read_from_the_configuration(private_cache):
    from harness.model.policy import Policy
    from harness.model.sources import find, load_policy

    found = shape(folder("tiny"), rank=4)
    model = load_policy(find("tiny"), "cpu")
    assert found.parameters == sum(p.numel() for p in model.parameters())
    adapted = Policy(model, tuning="lora", rank=4, alpha=8).begin(0)
    assert found.adapter == sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def test_gigabytes_have_three_digits():
    assert [gigabytes(value * 1e9) for value in (980, 84.04, 1.234, 0.01, 0)] == ["980", "84.0", "1.23", "0.01", "0.00"]


MEASURE = """
import sys, torch
from harness.compute.machine import peak_memory, reset_peak_memory
from transformers import LlamaConfig, LlamaForCausalLM
from harness.model.layout import LAYOUTS, Item
from harness.model.logprobs import Scorer
torch.set_num_threads(1)
config = LlamaConfig(vocab_size=8000, hidden_size=384, intermediate_size=1024, num_hidden_layers=6,
                     num_attention_heads=6, num_key_value_heads=6)
def step(model, optimizer, tokens):
    items = [Item(list(range(5, 5 + tokens // 2)), [list(range(9, 9 + tokens // 4))] * 2)]
    Scorer(model)(LAYOUTS["packed"](items, pad=0)).logps.sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
small = LlamaForCausalLM(LlamaConfig(vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                         num_attention_heads=2, num_key_value_heads=2))
step(small, torch.optim.AdamW(small.parameters(), fused=True), 40)  # what libraries load once
reset_peak_memory("cpu")
before = peak_memory("cpu")
model = LlamaForCausalLM(config).eval()
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
for _ in range(2):
    step(model, optimizer, int(sys.argv[1]))
print(peak_memory("cpu") - before, sum(p.numel() for p in model.parameters()))
"""


@pytest.mark.parametrize("precision", list(KEPT))
@pytest.mark.parametrize(("hidden", "inner"), [(256, 512), (128, 768)])
def test_activations_are_what_autograd_keeps(precision, hidden, inner):
    """Bytes of the tensors saved for the backward pass, one layer more against one layer less."""
    kept = [_saved_bytes(hidden, inner, layers, precision) for layers in (1, 3)]
    tokens = 8 * 100
    sizes = (Shape(0, 0, hidden, inner, layers, 0) for layers in (1, 3))
    expected = [footprint(size, precision=precision, tokens=tokens).activations for size in sizes]
    assert kept[1] - kept[0] == pytest.approx(expected[1] - expected[0], rel=0.15)


def _saved_bytes(hidden: int, inner: int, layers: int, precision: str) -> int:
    """Of 800 tokens in packed rows; each storage once, parameters apart."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=500,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
    )
    model = LlamaForCausalLM(config).eval()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    items = [Item([first, *range(6, 65)], [list(range(9, 29))] * 2) for first in range(8)]  # nothing in common
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logps = Scorer(model, precision)(LAYOUTS["packed"](items, pad=0)).logps
    assert logps.requires_grad
    return sum(size for place, (size, _) in seen.items() if place not in own)


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [64, 1200])
def test_the_estimate_is_near_the_peak_of_a_process(tokens):
    # The allocator hands large blocks back at once, so that the peak is that of what is in use.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", MEASURE, str(tokens)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    measured, parameters = map(int, done.stdout.split())
    model = Shape(parameters, adapter=0, hidden=384, feed_forward=1024, layers=6, vocabulary=8000)
    expected = footprint(model, tokens=tokens, precision="fp32").total
    assert measured == pytest.approx(expected, rel=0.2), f"measured {measured}, estimated {expected} bytes"
