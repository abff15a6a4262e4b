"""The comparison itself: what is fixed, what counts as the same, and what a peer is charged with."""

from dataclasses import replace

import pytest
import torch

import losses
from losses.checks import parity
from losses.checks.parity import Peer, Reading, compare, fixed_set, held, read_ours, read_peer


def margin(pair: losses.PairBatch) -> torch.Tensor:
    return pair.chosen_log_ratio - pair.rejected_log_ratio


def dpo(pair: losses.PairBatch, *, beta: float = 0.5) -> torch.Tensor:
    return torch.nn.functional.softplus(-beta * margin(pair)).mean()


def peer(fn, **more) -> Peer:
    return Peer("dpo", "Somewhere", "its dpo", fn, "its file", **more)


@pytest.fixture
def pairs() -> losses.PairBatch:
    return fixed_set(losses.get("dpo")).batch


def test_the_fixed_set_is_the_same_every_time():
    first, second = (fixed_set(losses.get("kto")).batch for _ in range(2))
    assert torch.equal(first.policy.tokens, second.policy.tokens)
    assert torch.equal(first.reference.tokens, second.reference.tokens)


def test_its_numbers_are_log_probs_of_ordinary_size(pairs):
    for side in (pairs.chosen, pairs.rejected, pairs.ref_chosen, pairs.ref_rejected, pairs.prompt):
        assert side.tokens.max() < 0.0
        assert side.tokens.min() > -8.0
    assert (pairs.chosen.tokens != pairs.ref_chosen.tokens).all()
    drift = pairs.ref_rejected.tokens - pairs.rejected.tokens
    assert drift[0, :3].tolist() == pytest.approx([0.25, -2.9, -1.1], abs=1e-6)  # 0.7 - 0.45 * (1, 8, 15 - 11)
    assert margin(pairs).min() < -1.0 and margin(pairs).max() > 1.0


def test_examples_are_the_pairs_answers_by_turns(pairs):
    examples = fixed_set(losses.get("kto")).batch
    assert torch.equal(examples.policy.total[0::2], pairs.chosen.total)
    assert torch.equal(examples.policy.total[1::2], pairs.rejected.total)
    assert torch.equal(examples.reference.total[1::2], pairs.ref_rejected.total)
    assert examples.desirable.tolist() == [True, False] * parity.PAIRS


def test_at_the_start_policy_and_reference_are_equal():
    batch = fixed_set(losses.get("dpo"), parity.START).batch
    assert margin(batch).tolist() == [0.0] * parity.PAIRS
    assert read_ours(losses.get("dpo"), case=parity.START).value == pytest.approx(0.693147, abs=1e-6)


def test_an_edge_case_moves_the_first_chosen_answer_alone(pairs):
    for case, nats in parity.EDGES.items():
        if nats is not None:
            edge = fixed_set(losses.get("dpo"), case).batch
            assert edge.chosen.mean[0].item() == pytest.approx(nats)
            assert torch.equal(edge.chosen.total[1:], pairs.chosen.total[1:])
            assert torch.equal(edge.ref_chosen.total, pairs.ref_chosen.total)


def test_the_same_formula_written_otherwise_is_the_same():
    result = compare(peer(dpo))
    assert result.is_same
    assert not result.breaks
    assert result.theirs.value == pytest.approx(result.ours.value, abs=1e-6)
    assert not result.as_it_comes.equals(result.ours)  # its default beta is 0.5


@pytest.mark.parametrize("change", [lambda x: x + 1e-4, lambda x: 1.01 * x - 0.01 * x.detach()])
def test_another_value_and_another_gradient_are_each_a_difference(change):
    assert not compare(peer(lambda pair, *, beta=0.5: change(dpo(pair, beta=beta)))).is_same


def test_a_peer_that_measures_across_its_micro_batch_differs_until_that_is_the_whole_batch():
    def theirs(batch: losses.ExampleBatch, *, beta=0.1):
        return losses.get("kto").fn(replace(batch, kl=batch.kl.clamp(min=0.0)), beta=beta).mean()

    result = compare(replace(peer(theirs), ours="kto"))
    assert not result.is_same
    assert result.ours.equals(result.whole)


def test_equal_names_carry_over_and_the_entry_translates_the_rest():
    def theirs(pair, *, beta=0.5, gamma=9.0, own=1.0):
        return dpo(pair, beta=beta)

    entry = peer(theirs, settings=lambda ours: {"gamma": ours["gamma_beta_ratio"] * ours["beta"]})
    assert entry.settings_like({"beta": 2.0, "gamma_beta_ratio": 0.5}) == {"beta": 2.0, "gamma": 1.0}


def test_a_peer_without_a_finite_gradient_is_charged_with_the_case():
    def fragile(pair, *, beta=0.1):
        return dpo(pair, beta=beta) + 0.0 * margin(pair).abs().sqrt().mean()  # infinite slope at 0, times 0

    result = compare(peer(fragile))
    assert list(result.breaks) == [parity.START]
    broken = result.breaks[parity.START]
    assert not broken.is_finite and not broken.has_no_value


def test_tolerances_are_absolute_below_one_and_relative_above():
    def reading(value, slope):
        return Reading(value, (torch.tensor([[slope]]),))

    assert reading(0.5, 0.5).equals(reading(0.5 + 0.9e-5, 0.5))
    assert not reading(0.5, 0.5).equals(reading(0.5 + 2e-5, 0.5))
    assert not reading(0.5, 0.5).equals(reading(0.5, 0.5 + 2e-6))
    assert reading(5000.0, 0.5).equals(reading(5000.04, 0.5))
    assert reading(0.5, 5000.0).equals(reading(0.5, 5000.004))
    assert not reading(0.5, float("nan")).equals(reading(0.5, float("nan")))
    assert not reading(float("nan"), 0.5).equals(reading(float("nan"), 0.5))


def test_the_drift_of_a_micro_batch_is_its_own_and_ours_is_that_of_the_batch():
    seen = []

    def theirs(batch: losses.ExampleBatch, *, beta=0.1):
        seen.append(batch.kl.item())
        return (beta * batch.log_ratio).mean()

    loss = losses.get("kto")
    entry = replace(peer(theirs), ours="kto")
    read_peer(entry, loss, {})
    read_peer(replace(entry, pairs=0), loss, {})
    assert seen == [4.0, -2.5, 0.75]


def test_what_the_fixed_set_always_carries_is_handed_over_and_its_absence_told():
    batch = fixed_set(losses.get("dpo")).batch
    assert held(batch.ref_chosen) is batch.ref_chosen
    with pytest.raises(ValueError, match="a peer reads what the batch does not carry"):
        held(replace(batch, prompt=None).prompt)
