"""What a batch refuses, and how token log-probs become sums."""

import pytest
import torch

import losses

SequenceLogProbs = losses.SequenceLogProbs


def sums(*totals: float) -> SequenceLogProbs:
    return SequenceLogProbs(total=torch.tensor(totals), count=torch.ones(len(totals), dtype=torch.long))


def test_tokens_are_summed_and_counted_where_the_mask_is_true():
    tokens = torch.tensor([[-1.0, -2.0, -4.0], [-8.0, -16.0, -32.0]], requires_grad=True)
    side = SequenceLogProbs.from_tokens(tokens, torch.tensor([[1, 1, 0], [1, 0, 1]]))
    assert side.total.tolist() == [-3.0, -40.0]
    assert side.count.tolist() == [2, 2]
    assert side.mean.tolist() == [-1.5, -20.0]
    side.total.sum().backward()
    assert tokens.grad.tolist() == [[1, 1, 0], [1, 0, 1]]


def test_padding_may_hold_anything():
    tokens = torch.tensor([[-1.0, float("-inf")], [-2.0, float("nan")]])
    side = SequenceLogProbs.from_tokens(tokens, torch.tensor([[True, False], [True, False]]))
    assert side.total.tolist() == [-1.0, -2.0]


def test_half_precision_tokens_are_summed_in_fp32():
    tokens = torch.full((1, 1000), -1.0, dtype=torch.bfloat16)
    tokens[0, 0] = -0.0078125
    side = SequenceLogProbs.from_tokens(tokens, torch.ones(1, 1000, dtype=torch.bool))
    assert side.total.dtype == side.mean.dtype == torch.float32
    assert side.total.item() == -999.0078125  # bf16 has 8 bits: it would say -1000


def test_a_float32_leaf_keeps_its_identity_so_gradients_reach_it():
    total = torch.tensor([-1.0], requires_grad=True)
    assert SequenceLogProbs(total=total, count=torch.tensor([1])).total is total


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total": torch.zeros(8), "count": torch.ones(7)}, r"total \(8,\) and count \(7,\)"),
        ({"total": torch.zeros(2, 3), "count": torch.ones(2, 3)}, r"total \(2, 3\), allowed \(N,\)"),
        ({"total": torch.zeros(2), "count": torch.ones(2), "tokens": torch.zeros(2, 3)}, "tokens and mask"),
        (
            {"total": torch.zeros(2), "count": torch.ones(2), "tokens": torch.zeros(2, 3), "mask": torch.ones(2, 4)},
            r"tokens \(2, 3\) and mask \(2, 4\)",
        ),
        (
            {"total": torch.zeros(2), "count": torch.ones(2), "stats": {"entropy": torch.zeros(3, 4)}},
            r"stats\['entropy'\] \(3, 4\), allowed \(2, T\)",
        ),
        (
            {"total": torch.zeros(2), "count": torch.ones(2), "tokens": torch.zeros(3, 4), "mask": torch.ones(3, 4)},
            r"^Shape mismatch: tokens \(3, 4\), allowed \(2, T\)",
        ),
        (
            {
                "total": torch.zeros(2),
                "count": torch.ones(2),
                "tokens": torch.zeros(2, 3),
                "mask": torch.ones(2, 3),
                "stats": {"entropy": torch.zeros(2, 4)},
            },
            r"stats\['entropy'\] \(2, 4\) and tokens \(2, 3\)",
        ),
        ({"total": torch.zeros(2, dtype=torch.long), "count": torch.ones(2)}, "log-probs are torch.int64"),
    ],
)
def test_sequences_of_disagreeing_shape_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceLogProbs(**arguments)


def test_sides_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"Shape mismatch: chosen \(2,\) and rejected \(1,\)"):
        losses.PairBatch(chosen=sums(-1.0, -2.0), rejected=sums(-1.0))


def test_half_a_reference_is_refused():
    with pytest.raises(ValueError, match="ref_chosen and ref_rejected belong together"):
        losses.PairBatch(chosen=sums(-1.0), rejected=sums(-1.0), ref_chosen=sums(-1.0))


def test_scores_need_two_columns():
    with pytest.raises(ValueError, match=r"scores \(1,\), allowed \(1, 2\)"):
        losses.PairBatch(chosen=sums(-1.0), rejected=sums(-1.0), scores=torch.ones(1))


def test_an_empty_answer_is_refused_with_its_row():
    empty = SequenceLogProbs(total=torch.zeros(2), count=torch.tensor([3, 0]))
    with pytest.raises(ValueError, match="rejected has 0 scored tokens in row 1"):
        losses.PairBatch(chosen=sums(-1.0, -1.0), rejected=empty)
    with pytest.raises(ValueError, match="^chosen has 0 scored tokens in row 1"):
        losses.PairBatch(chosen=empty, rejected=sums(-1.0, -1.0))


@pytest.mark.parametrize("desirable", [None, torch.tensor([1, 0])])
def test_labels_must_be_bool(desirable):
    with pytest.raises(ValueError, match="desirable is .*bool"):
        losses.ExampleBatch(policy=sums(-1.0, -2.0), desirable=desirable)


def test_a_drift_per_example_is_refused():
    with pytest.raises(ValueError, match=r"kl \(2,\), allowed \(\)"):
        losses.ExampleBatch(policy=sums(-1.0, -2.0), desirable=torch.tensor([True, False]), kl=torch.ones(2))


def test_log_ratios_are_policy_minus_reference():
    pairs = losses.PairBatch(sums(-1.0), sums(-2.0), sums(-3.0), sums(-5.0))
    assert (pairs.chosen_log_ratio.item(), pairs.rejected_log_ratio.item()) == (2.0, 3.0)
    examples = losses.ExampleBatch(sums(-1.0), sums(-3.0), torch.tensor([True]))
    assert examples.log_ratio.item() == 2.0


def test_the_mean_margin_divides_each_answers_log_ratio_by_its_own_tokens(pair):
    # a = -4 - -6 = 2 over 4 tokens, d = -3 - -6 = 3 over 2 tokens: 0.5 - 1.5
    batch = pair(-4.0, -3.0, rc=-6.0, rr=-6.0, nc=4, nr=2)
    assert (batch.margin.tolist(), batch.mean_margin.tolist()) == ([-1.0], [-1.0])
    batch = pair(-4.0, -3.0, rc=-6.0, rr=-6.0, nc=1, nr=3)
    assert (batch.margin.tolist(), batch.mean_margin.tolist()) == ([-1.0], [1.0])


def test_rows_are_picked_from_every_part_of_a_pair_batch():
    needs = {"reference", "prompt", "tokens", "scores", "stats:entropy"}
    batch = losses.random_pairs(4, seed=0, needs=needs)
    rows = torch.tensor([2, 0])
    picked = batch.index(rows)
    for side in ("chosen", "rejected", "ref_chosen", "ref_rejected", "prompt"):
        whole, part = getattr(batch, side), getattr(picked, side)
        for name in ("total", "count", "tokens", "mask"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[rows]), (side, name)
        if not side.startswith("ref"):
            assert torch.equal(part.stats["entropy"], whole.stats["entropy"][rows])
    assert torch.equal(picked.scores, batch.scores[rows])
    assert (picked.step, picked.max_steps) == (batch.step, batch.max_steps)


def test_rows_are_picked_from_every_part_of_an_example_batch():
    batch = losses.random_examples(4, seed=0, needs={"reference", "mismatched", "scores"})
    picked = batch.index(torch.tensor([3, 0]))
    assert picked.desirable.tolist() == [False, True]
    assert torch.equal(picked.policy.total, batch.policy.total[[3, 0]])
    assert torch.equal(picked.reference.total, batch.reference.total[[3, 0]])
    assert torch.equal(picked.scores, batch.scores[[3, 0]])
    assert picked.kl == batch.kl


def test_what_belongs_to_an_example_is_as_long_as_the_completions():
    labels = torch.tensor([True, False])
    with pytest.raises(ValueError, match=r"Shape mismatch: policy \(2,\) and reference \(1,\)"):
        losses.ExampleBatch(policy=sums(-1.0, -2.0), reference=sums(-1.0), desirable=labels)
    with pytest.raises(ValueError, match=r"Shape mismatch: policy \(2,\) and prompt \(1,\)"):
        losses.ExampleBatch(policy=sums(-1.0, -2.0), prompt=sums(-1.0), desirable=labels)
    with pytest.raises(ValueError, match=r"Shape mismatch: policy.total \(1,\) and desirable \(2,\)"):
        losses.ExampleBatch(policy=sums(-1.0), desirable=labels)


def test_a_log_ratio_without_a_reference_names_both_ways_out():
    message = r'; register the loss with needs=\{"reference"\}, or fill in the reference of the batch\.$'
    with pytest.raises(ValueError, match=message):
        _ = losses.PairBatch(sums(-1.0), sums(-2.0)).margin
