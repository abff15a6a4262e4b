"""APO against double-precision formulas."""

import pytest
import torch

import losses
from tests.losses.conftest import sigmoid


def test_apo_zero_follows_its_formula(follows, point):
    follows("apo_zero", lambda p: 1 - sigmoid(0.2 * p.a) + sigmoid(0.2 * p.d), point, beta=0.2)


def test_apo_down_follows_its_formula(follows, point):
    follows("apo_down", lambda p: sigmoid(0.2 * p.a) + 1 - sigmoid(0.2 * p.h), point, beta=0.2)


def test_apo_zero_starts_at_1_and_moves_both_answers_by_a_quarter_of_beta(pair, gradients):
    batch = pair(-7.0, -9.0, -7.0, -9.0)
    assert losses.get("apo_zero").fn(batch).item() == pytest.approx(1.0)
    assert gradients("apo_zero", batch, beta=0.2) == pytest.approx((-0.05, 0.05), rel=1e-6)


def test_apo_down_starts_at_1_and_moves_the_rejected_answer_alone(pair, gradients):
    batch = pair(-7.0, -9.0, -7.0, -9.0)
    assert losses.get("apo_down").fn(batch).item() == pytest.approx(1.0)
    assert gradients("apo_down", batch, beta=0.2) == pytest.approx((0.0, 0.05), abs=1e-9)


def test_apo_down_lowers_the_chosen_answer_once_the_margin_is_learnt(pair, gradients):
    chosen, rejected = gradients("apo_down", pair(0.0, -60.0, 0.0, 0.0), beta=0.2)
    assert chosen == pytest.approx(0.05, rel=1e-3)  # sigmoid'(0) * beta, against a saturated contrast
    assert 0 < rejected < 1e-5


def examples(ratios: list[float], desirable: list[bool]) -> losses.ExampleBatch:
    count = torch.ones(len(ratios), dtype=torch.long)
    total = torch.tensor(ratios, dtype=torch.float64, requires_grad=True)
    reference = losses.SequenceLogProbs(total=torch.zeros(len(ratios), dtype=torch.float64), count=count)
    return losses.ExampleBatch(losses.SequenceLogProbs(total=total, count=count), reference, torch.tensor(desirable))


def test_single_answers_follow_their_formula():
    ratios, desirable = [2.0, -3.0, -1.0, 4.0], [True, False, True, False]
    batch = examples(ratios, desirable)
    values = losses.get("apo_zero_unpaired").fn(batch, beta=0.2)
    rated = list(zip(ratios, desirable, strict=True))
    expected = [1 - sigmoid(0.2 * g) if wanted else sigmoid(0.2 * g) for g, wanted in rated]
    assert values.tolist() == pytest.approx(expected, rel=1e-9)
    values.sum().backward()
    slopes = [(-0.2 if wanted else 0.2) * sigmoid(0.2 * g) * sigmoid(-0.2 * g) for g, wanted in rated]
    assert batch.policy.total.grad.tolist() == pytest.approx(slopes, rel=1e-9)


def test_single_answers_of_a_pair_add_up_to_apo_zero(pair):
    values = losses.get("apo_zero_unpaired").fn(examples([0.5, -1.0], [True, False]))
    together = losses.get("apo_zero").fn(pair(-3.5, -6.0, -4.0, -5.0)).item()
    assert values.sum().item() == pytest.approx(together, rel=1e-6)


def test_single_answers_are_kto_with_its_reference_point_at_0():
    batch = examples([2.0, -3.0], [True, False])
    with_drift = losses.ExampleBatch(batch.policy, batch.reference, batch.desirable, kl=torch.tensor(0.0))
    one, other = losses.get("apo_zero_unpaired").fn(batch), losses.get("kto").fn(with_drift)
    assert one.tolist() == pytest.approx(other.tolist(), rel=1e-9)
