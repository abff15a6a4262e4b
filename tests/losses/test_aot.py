"""AOT on batches sorted by hand."""

import math

import pytest
import torch

import losses
from tests.losses.conftest import log_sigmoid, sigmoid


def pairs(rows: list[tuple[float, float, float, float]]) -> losses.PairBatch:
    """Rows of (c, r, rc, rr)."""
    count = torch.ones(len(rows), dtype=torch.long)
    columns = [torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True)]
    columns[:2] = [column.requires_grad_() for column in columns[:2]]
    return losses.PairBatch(*(losses.SequenceLogProbs(total=column, count=count) for column in columns))


# policy margins 3, -1, 1; reference margins 2, 0.5, -4; a = 1, 0, 2; d = 0, 1.5, -3
ROWS = [(-2.0, -5.0, -3.0, -5.0), (-4.0, -3.0, -4.0, -4.5), (-1.0, -2.0, -3.0, 1.0)]


def test_aot_compares_margins_of_equal_rank():
    batch = pairs(ROWS)
    values = losses.get("aot").fn(batch, beta=0.2)
    deltas = [3.0 - 2.0, -1.0 - -4.0, 1.0 - 0.5]  # largest, smallest, middle
    assert values.tolist() == pytest.approx([-log_sigmoid(0.2 * x) for x in deltas], rel=1e-9)
    values.sum().backward()
    slopes = [-0.2 * sigmoid(-0.2 * x) for x in deltas]
    assert batch.chosen.total.grad.tolist() == pytest.approx(slopes, rel=1e-9)
    assert batch.rejected.total.grad.tolist() == pytest.approx([-s for s in slopes], rel=1e-9)


def test_aot_unpaired_compares_log_ratios_of_equal_rank():
    batch = pairs(ROWS)
    values = losses.get("aot_unpaired").fn(batch, beta=0.2)
    # a = 1, 0, 2 against d sorted -3, 0, 1.5: middle, smallest, largest
    deltas = [1.0 - 0.0, 0.0 - -3.0, 2.0 - 1.5]
    assert values.tolist() == pytest.approx([-log_sigmoid(0.2 * x) for x in deltas], rel=1e-9)
    values.sum().backward()
    slopes = [-0.2 * sigmoid(-0.2 * x) for x in deltas]
    assert batch.chosen.total.grad.tolist() == pytest.approx(slopes, rel=1e-9)
    # the rejected answers stand at ranks middle, largest, smallest: their comparisons are 0, 2, 1
    expected = [-slopes[0], -slopes[2], -slopes[1]]
    assert batch.rejected.total.grad.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["aot", "aot_unpaired"])
def test_a_batch_of_one_pair_is_dpo(pair, name):
    batch = pair(-3.5, -6.0, -4.0, -5.0)
    assert losses.get(name).fn(batch, beta=0.1).item() == pytest.approx(losses.get("dpo").fn(batch).item(), rel=1e-6)


@pytest.mark.parametrize("name", ["aot", "aot_unpaired"])
def test_the_start_costs_ln_2(name):
    batch = pairs([(c, r, c, r) for c, r, _, _ in ROWS])
    assert losses.get(name).fn(batch).tolist() == pytest.approx([math.log(2.0)] * 3, rel=1e-9)


@pytest.mark.parametrize("name", ["aot", "aot_unpaired"])
def test_ties_share_their_comparisons(name):
    batch = pairs([(-1.0, -2.0, -1.0, -2.0)] * 4)
    losses.get(name).fn(batch).sum().backward()
    assert batch.chosen.total.grad.tolist() == pytest.approx([-0.005] * 4)
    assert batch.rejected.total.grad.tolist() == pytest.approx([0.005] * 4)


def test_aot_unpaired_does_not_care_who_was_paired_with_whom():
    mixed = [(c, r, rc, rr) for (c, _, rc, _), (_, r, _, rr) in zip(ROWS, ROWS[1:] + ROWS[:1], strict=True)]
    one, other = (losses.get("aot_unpaired").fn(pairs(rows)).tolist() for rows in (ROWS, mixed))
    assert one == pytest.approx(other, rel=1e-9)
