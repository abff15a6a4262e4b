"""The five rewards, and log(1 - exp(x)), against double-precision arithmetic."""

import math

import pytest
import torch

import losses
from losses.rewards import log1mexp

POLICY = losses.SequenceLogProbs(total=torch.tensor([-2.0, -9.0]), count=torch.tensor([4, 3]))
REFERENCE = losses.SequenceLogProbs(total=torch.tensor([-4.0, -6.0]), count=torch.tensor([4, 3]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("log_ratio", [2.0, -3.0]),
        ("mean_log_ratio", [0.5, -1.0]),
        ("log_prob", [-2.0, -9.0]),
        ("mean_log_prob", [-0.5, -3.0]),
        ("log_odds", [-math.log(math.exp(0.5) - 1), -math.log(math.exp(3) - 1)]),
    ],
)
def test_each_reward_follows_its_definition(name, expected):
    assert losses.reward(name, POLICY, REFERENCE).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["log_prob", "mean_log_prob", "log_odds"])
def test_rewards_without_a_ratio_need_no_reference(name):
    assert torch.equal(losses.reward(name, POLICY, None), losses.reward(name, POLICY, REFERENCE))


def test_a_ratio_without_a_reference_is_refused():
    with pytest.raises(ValueError, match="'mean_log_ratio' compares with the reference"):
        losses.reward("mean_log_ratio", POLICY, None)


def test_an_unknown_reward_names_the_nearest():
    with pytest.raises(ValueError, match="unknown reward 'log_ration'; did you mean 'log_ratio'"):
        losses.reward("log_ration", POLICY, REFERENCE)


@pytest.mark.parametrize("x", [-1e-11, -1e-8, -1e-3, -0.5, -0.693, -0.694, -3.0, -50.0])
def test_log1mexp_and_its_slope_keep_their_digits(x):
    point = torch.tensor(x, requires_grad=True)
    value = log1mexp(point)
    value.backward()
    x = point.item()  # the float32 nearest to x
    assert value.item() == pytest.approx(math.log(-math.expm1(x)), rel=1e-5)
    assert point.grad.item() == pytest.approx(-1.0 / math.expm1(-x), rel=1e-5)


@pytest.mark.parametrize("x", [0.0, 1e-7])
def test_log1mexp_at_certainty_stops_at_a_finite_value_without_slope(x):
    point = torch.tensor(x, requires_grad=True)
    value = log1mexp(point)
    value.backward()
    assert value.item() == pytest.approx(math.log(1e-12), rel=1e-5)
    assert point.grad.item() == 0.0
