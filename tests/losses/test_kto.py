"""KTO against hand arithmetic."""

import math

import pytest
import torch

import losses


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def examples(ratios: list[float], desirable: list[bool], kl: float | None) -> losses.ExampleBatch:
    """Answers with these summed log-ratios; the reference gives each -4 nats."""
    count = torch.full((len(ratios),), 3)
    total = torch.tensor([ratio - 4.0 for ratio in ratios], requires_grad=True)
    return losses.ExampleBatch(
        policy=losses.SequenceLogProbs(total=total, count=count),
        reference=losses.SequenceLogProbs(total=torch.full((len(ratios),), -4.0), count=count),
        desirable=torch.tensor(desirable),
        kl=None if kl is None else torch.tensor(kl),
    )


def test_the_worked_examples_cost_0_463_and_0_413():
    values = losses.get("kto").fn(examples([2.0, -3.0], [True, False], kl=0.5), beta=0.1)
    assert values.tolist() == pytest.approx([0.463, 0.413], abs=5e-4)


def test_gradients_are_the_slopes_of_the_sigmoid_with_opposite_signs():
    batch = examples([2.0, -3.0], [True, False], kl=0.5)
    losses.get("kto").fn(batch, beta=0.1).sum().backward()
    wanted, unwanted = sigmoid(0.15), sigmoid(0.35)
    expected = [-0.1 * wanted * (1 - wanted), 0.1 * unwanted * (1 - unwanted)]
    assert batch.policy.total.grad.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_balanced_batch_at_the_reference_costs_one_half():
    values = losses.get("kto").fn(examples([0.0, 0.0], [True, False], kl=0.0))
    assert values.tolist() == [0.5, 0.5]


def test_weights_scale_their_own_side_only():
    batch = examples([0.0, 0.0], [True, False], kl=0.0)
    values = losses.get("kto").fn(batch, desirable_weight=2.0, undesirable_weight=3.0)
    assert values.tolist() == [1.0, 1.5]


def test_drift_raises_the_cost_of_wanted_answers_and_lowers_that_of_unwanted_ones():
    still = losses.get("kto").fn(examples([1.0, 1.0], [True, False], kl=0.0))
    drifting = losses.get("kto").fn(examples([1.0, 1.0], [True, False], kl=5.0))
    assert drifting[0] > still[0]
    assert drifting[1] < still[1]


def test_values_stay_between_0_and_the_weight():
    batch = examples([2000.0, -2000.0, -2000.0, 2000.0], [True, False, True, False], kl=0.0)
    values = losses.get("kto").fn(batch)
    assert values.tolist() == pytest.approx([0.0, 0.0, 1.0, 1.0])


def test_no_gradient_flows_through_the_drift():
    kl = torch.tensor(0.5, requires_grad=True)
    full = examples([2.0], [True], kl=0.0)
    batch = losses.ExampleBatch(full.policy, full.reference, full.desirable, kl=kl)
    losses.get("kto").fn(batch).sum().backward()
    assert kl.grad is None


def test_a_batch_without_drift_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r'kl is missing.*needs=\{"mismatched"\}'):
        losses.get("kto").fn(examples([2.0], [True], kl=None))
