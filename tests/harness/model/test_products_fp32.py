"""fp32 products by oneDNN: torch's own numbers and gradients, for every form of input, and a model left as it was."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.model import products_fp32
from harness.model.layout import LAYOUTS
from harness.model.logprobs import Scorer
from harness.model.products_fp32 import FullPrecision
from tests.harness.architectures import adapted, build, gradients, items

needs_onednn = pytest.mark.skipif(products_fp32._PRODUCT is None, reason="torch was built without oneDNN")


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 24), (7, 24), (2, 5, 24), (0, 24)])
def test_a_map_has_the_values_and_gradients_of_torch(shape, bias):
    torch.manual_seed(0)
    module = nn.Linear(24, 40, bias=bias)
    x = torch.randn(shape, requires_grad=True)
    upstream = torch.randn(*shape[:-1], 40)
    expected = [F.linear(x, module.weight, module.bias)]
    expected += torch.autograd.grad(expected[0], [x, *module.parameters()], upstream)
    with FullPrecision(module)("cpu"):
        assert "forward" in vars(module)
        found = [module(x)]
    found += torch.autograd.grad(found[0], [x, *module.parameters()], upstream)
    for one, two in zip(expected, found, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5)
    assert "forward" not in vars(module)


@needs_onednn
@pytest.mark.parametrize("name", ["llama", "gpt_neox", "mixtral", "adapter"])
def test_a_models_log_probs_and_gradients_are_those_of_torch(name, monkeypatch):
    model = adapted() if name == "adapter" else build(name)
    results = []
    for product in (None, products_fp32._PRODUCT):
        monkeypatch.setattr(products_fp32, "_PRODUCT", product)
        model.zero_grad()
        logps = Scorer(model)(LAYOUTS["packed"](items(), pad=0)).logps
        logps.sum().backward()
        results.append((logps.detach(), gradients(model)))
    (logps, before), (again, after) = results
    assert (logps - again).abs().max() < 1e-4
    assert before.keys() == after.keys()
    assert all((before[key] - after[key]).norm() <= 1e-4 * before[key].norm() for key in before)


def test_other_devices_and_types_keep_torchs_products():
    low = nn.Linear(4, 4).bfloat16()
    with FullPrecision(low)("cpu"):
        assert "forward" not in vars(low)
    module = nn.Linear(4, 4)
    with FullPrecision(module)("cuda"):
        assert "forward" not in vars(module)


@needs_onednn
def test_an_error_inside_leaves_the_model_as_it_was():
    module = nn.Linear(4, 4)
    with pytest.raises(RuntimeError), FullPrecision(module)("cpu"):
        module(torch.zeros(3, 5))
    assert "forward" not in vars(module)
