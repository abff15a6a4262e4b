"""exp with a tangent for its upper end."""

import math

import pytest
import torch

from losses.numerics import exp_or_tangent


@pytest.mark.parametrize("x", [-2000.0, -3.0, 0.0, 12.5, 30.0])
def test_up_to_30_it_is_the_exponential(x):
    point = torch.tensor(x, requires_grad=True)
    value = exp_or_tangent(point)
    value.backward()
    assert value.item() == pytest.approx(math.exp(x), rel=1e-5)
    assert point.grad.item() == pytest.approx(math.exp(x), rel=1e-5)


@pytest.mark.parametrize("x", [31.0, 88.0, 2000.0])
def test_beyond_it_is_the_tangent_at_30(x):
    point = torch.tensor(x, requires_grad=True)
    value = exp_or_tangent(point)
    value.backward()
    assert value.item() == pytest.approx(math.exp(30.0) * (1.0 + x - 30.0), rel=1e-5)
    assert point.grad.item() == pytest.approx(math.exp(30.0), rel=1e-5)
