"""ORPO against double-precision arithmetic, down to answers of probability one."""

import math
from dataclasses import replace

import pytest
import torch

import losses

EXTREMES = [-1e-8, -1e-3, -0.5, -1.0, -50.0, -2000.0]


def log_odds(x: float) -> float:
    return x - math.log(-math.expm1(x))


def odds_term(cbar: float, rbar: float) -> float:
    x = log_odds(rbar) - log_odds(cbar)
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def slopes(cbar: float, rbar: float, beta: float) -> tuple[float, float]:
    """d loss / d cbar and d loss / d rbar: the slope of log odds is 1 / (1 - p)."""
    x = log_odds(cbar) - log_odds(rbar)
    weight = beta * (math.exp(-x) / (1 + math.exp(-x)) if x > 0 else 1 / (1 + math.exp(x)))
    return -1.0 + weight / math.expm1(cbar), -weight / math.expm1(rbar)


def test_the_worked_example_has_log_odds_0_974_and_odds_term_0_320(pair):
    batch = pair(-1.0, -3.0, nc=2, nr=3)  # means -0.5 and -1.0
    chosen, rejected = (losses.reward("log_odds", side, None) for side in (batch.chosen, batch.rejected))
    assert (chosen - rejected).item() == pytest.approx(0.974, abs=5e-4)
    loss = losses.get("orpo")
    assert loss.terms["odds"](batch, beta=1.0).item() == pytest.approx(0.320, abs=5e-4)
    assert loss.terms["nll"](batch, beta=1.0).item() == pytest.approx(0.5)
    assert loss.fn(batch, beta=0.1).item() == pytest.approx(0.5 + 0.1 * 0.320, abs=1e-4)


@pytest.mark.parametrize("cbar", EXTREMES)
@pytest.mark.parametrize("rbar", EXTREMES)
def test_value_and_gradient_follow_the_closed_form_over_the_whole_range(pair, gradients, cbar, rbar):
    batch = pair(cbar, rbar)
    expected = -cbar + 0.5 * odds_term(cbar, rbar)
    assert losses.get("orpo").fn(batch, beta=0.5).item() == pytest.approx(expected, rel=1e-5)
    assert gradients("orpo", batch, beta=0.5) == pytest.approx(slopes(cbar, rbar, 0.5), rel=1e-4)


@pytest.mark.parametrize(("cbar", "rbar"), [(0.0, -1.0), (-1.0, 0.0), (0.0, 0.0), (0.0, -2000.0)])
def test_an_answer_of_probability_one_has_finite_value_and_gradient(pair, gradients, cbar, rbar):
    batch = pair(cbar, rbar)
    assert math.isfinite(losses.get("orpo").fn(batch).item())
    assert all(map(math.isfinite, gradients("orpo", batch)))


def test_a_certain_rejected_answer_costs_more_than_a_nearly_certain_one(pair):
    loss = losses.get("orpo").fn
    assert loss(pair(-1.0, 0.0)).item() > loss(pair(-1.0, -1e-6)).item() > loss(pair(-1.0, -0.1)).item()


def test_odds_come_from_means_so_long_answers_do_not_underflow(pair, gradients):
    batch = pair(-900.0, -1200.0, nc=300, nr=300)  # exp(-900) is 0 in fp32
    value = 3.0 + odds_term(-3.0, -4.0)
    assert losses.get("orpo").fn(batch, beta=1.0).item() == pytest.approx(value, rel=1e-5)
    by_chosen, by_rejected = slopes(-3.0, -4.0, 1.0)
    expected = (by_chosen / 300, by_rejected / 300)
    assert gradients("orpo", batch, beta=1.0) == pytest.approx(expected, rel=1e-4)


def prompted(batch: losses.PairBatch, total: float, count: int) -> losses.PairBatch:
    prompt = torch.tensor([total], requires_grad=True)
    return replace(batch, prompt=losses.SequenceLogProbs(total=prompt, count=torch.tensor([count])))


def test_orpo_prompt_nll_averages_over_prompt_and_answer_together(pair):
    batch = prompted(pair(-2.0, -3.0), total=-6.0, count=3)
    # (6 + 2) nats over 3 + 1 tokens = 2; the odds are those of the answers alone
    value = losses.get("orpo_prompt_nll").fn(batch, beta=0.5)
    assert value.item() == pytest.approx(2.0 + 0.5 * odds_term(-2.0, -3.0), rel=1e-6)
    value.sum().backward()
    assert batch.prompt.total.grad.item() == pytest.approx(-0.25)


def test_a_prompt_without_scored_tokens_leaves_plain_orpo(pair):
    batch = prompted(pair(-2.0, -3.0), total=0.0, count=0)
    assert losses.get("orpo_prompt_nll").fn(batch).item() == losses.get("orpo").fn(batch).item()


def test_orpo_prompt_nll_without_a_prompt_is_refused_with_the_way_out(pair):
    with pytest.raises(ValueError, match=r'prompt is missing.*needs=\{"prompt"\}'):
        losses.get("orpo_prompt_nll").fn(pair(-2.0, -3.0))
