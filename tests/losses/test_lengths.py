"""Length-aware DPO token by token in plain Python."""

import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch

import losses
from tests.losses.conftest import log_sigmoid

CHOSEN = [-0.5, -2.0, -1.0, -0.25, -3.0]
REF_CHOSEN = [-1.0, -1.5, -2.5, -0.5, -1.0]
REJECTED = [-4.0, -0.5]
REF_REJECTED = [-3.0, -1.5]


def side(tokens: list[float], leaf: bool, width: int = 6, lead: int = 0) -> losses.SequenceLogProbs:
    """One answer, padded with numbers that must not be read; `lead` of them in front."""
    row = [9.0] * lead + tokens + [9.0] * (width - lead - len(tokens))
    mask = [False] * lead + [True] * len(tokens) + [False] * (width - lead - len(tokens))
    values = torch.tensor([row], dtype=torch.float64, requires_grad=leaf)
    return losses.SequenceLogProbs.from_tokens(values, torch.tensor([mask]))


def token_pair(chosen=CHOSEN, rejected=REJECTED, ref_chosen=REF_CHOSEN, ref_rejected=REF_REJECTED, lead=0, seed=0):
    return losses.PairBatch(
        side(chosen, True, lead=lead),
        side(rejected, True),
        side(ref_chosen, False, lead=lead),
        side(ref_rejected, False),
        generator=torch.Generator().manual_seed(seed),
    )


RATIOS = [c - r for c, r in zip(CHOSEN, REF_CHOSEN, strict=True)]  # 0.5 -0.5 1.5 0.25 -2.0
REJECTED_RATIO = sum(REJECTED) - sum(REF_REJECTED)  # 0.0


def test_ln_dpo_follows_its_formula(follows, point):
    follows("ln_dpo", lambda p: -log_sigmoid(5.0 * (p.a / p.nc - p.d / p.nr)), point)


def test_ln_dpo_equals_dpo_on_one_token_answers(pair):
    batch = pair(-1.5, -2.0, -1.0, -2.5)
    assert losses.get("ln_dpo").fn(batch, beta=0.3).item() == losses.get("dpo").fn(batch, beta=0.3).item()


def test_r_dpo_follows_its_formula(follows, point):
    follows("r_dpo", lambda p: -log_sigmoid(0.2 * p.h + 0.05 * (p.nc - p.nr)), point, beta=0.2, alpha=0.05)


def test_r_dpo_learns_less_from_a_chosen_answer_that_is_longer(pair, gradients):
    longer, shorter = pair(-5.0, -5.0, -5.0, -5.0, nc=50, nr=10), pair(-5.0, -5.0, -5.0, -5.0, nc=10, nr=50)
    # weights sigmoid(-0.01 * 40) and sigmoid(0.01 * 40)
    assert gradients("r_dpo", longer)[0] == pytest.approx(-0.1 / (1 + math.exp(0.4)), rel=1e-5)
    assert gradients("r_dpo", shorter)[0] == pytest.approx(-0.1 / (1 + math.exp(-0.4)), rel=1e-5)


@pytest.mark.parametrize("lead", [0, 1])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_ld_dpo_discounts_tokens_beyond_the_shorter_length(alpha, lead):
    batch = token_pair(lead=lead)
    value = losses.get("ld_dpo").fn(batch, beta=0.2, alpha=alpha)
    margin = sum(RATIOS[:2]) + alpha * sum(RATIOS[2:]) - REJECTED_RATIO
    assert value.item() == pytest.approx(-log_sigmoid(0.2 * margin), rel=1e-9)
    value.sum().backward()
    weight = 0.2 / (1.0 + math.exp(0.2 * margin))
    expected = [-weight, -weight, *[-alpha * weight] * 3]
    seen = batch.chosen.tokens.grad[0]
    assert seen.tolist() == pytest.approx([0.0] * lead + expected + [0.0] * (1 - lead), rel=1e-9)
    assert batch.rejected.tokens.grad[0].tolist() == pytest.approx([weight, weight, 0, 0, 0, 0], rel=1e-9)


def test_ld_dpo_discounts_a_longer_rejected_answer_too():
    batch = token_pair(REJECTED, CHOSEN, REF_REJECTED, REF_CHOSEN)
    margin = REJECTED_RATIO - (sum(RATIOS[:2]) + 0.5 * sum(RATIOS[2:]))
    assert losses.get("ld_dpo").fn(batch).item() == pytest.approx(-log_sigmoid(0.1 * margin), rel=1e-9)


@pytest.mark.parametrize("name", ["ld_dpo", "sampo"])
def test_answers_of_one_length_give_dpo(name):
    batch = token_pair(CHOSEN, CHOSEN[::-1], REF_CHOSEN, REF_CHOSEN)
    assert losses.get(name).fn(batch).item() == pytest.approx(losses.get("dpo").fn(batch, beta=0.1).item(), rel=1e-9)


def test_sampo_compares_as_many_tokens_of_both_answers_drawn_evenly():
    allowed = {round(sum(picked) - REJECTED_RATIO, 6) for picked in combinations(RATIOS, 2)}
    seen, kept = [], torch.zeros(5, dtype=torch.float64)
    for seed in range(400):
        batch = token_pair(seed=seed)
        value = losses.get("sampo").fn(batch, beta=0.2)
        margin = -math.log(math.expm1(value.item())) / 0.2  # the inverse of -log sigmoid
        assert round(margin, 6) in allowed
        seen.append(margin)
        value.sum().backward()
        touched = batch.chosen.tokens.grad[0] != 0
        assert touched.sum() == 2 and not touched[5]
        assert (batch.rejected.tokens.grad[0] != 0).tolist() == [True, True, False, False, False, False]
        kept += touched[:5]
    # each token is kept in 2 of 5 draws: 160 of 400, standard deviation 10
    assert (kept - 160).abs().max() < 40
    assert sum(seen) / 400 == pytest.approx(0.4 * sum(RATIOS) - REJECTED_RATIO, abs=0.25)


def test_sampo_draws_the_same_tokens_for_the_reference():
    for seed in range(20):
        batch = token_pair(ref_chosen=CHOSEN, ref_rejected=REJECTED, seed=seed)
        assert losses.get("sampo").fn(batch).item() == pytest.approx(math.log(2.0), rel=1e-9)


def test_sampo_repeats_itself_for_the_same_generator_and_not_for_the_next_draw():
    one, other = token_pair(seed=3), token_pair(seed=3)
    assert losses.get("sampo").fn(one).item() == losses.get("sampo").fn(other).item()
    assert len({losses.get("sampo").fn(one).item() for _ in range(10)}) > 1


@pytest.mark.parametrize("name", ["ld_dpo", "sampo"])
def test_a_batch_without_tokens_is_refused_with_the_way_out(pair, name):
    batch = replace(pair(-1.0, -2.0, -1.0, -2.0), generator=torch.Generator())
    with pytest.raises(ValueError, match=rf'{name} reads token log-probs.*needs=\{{"reference", "tokens"\}}'):
        losses.get(name).fn(batch)


def test_sampo_without_a_generator_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="generator is missing.*manual_seed"):
        losses.get("sampo").fn(replace(token_pair(), generator=None))
