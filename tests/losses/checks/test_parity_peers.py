"""The formulas of the other libraries by hand, and what their entries claim against what is computed."""

import functools
import math
from collections.abc import Callable

import pytest
import torch

import losses
from losses.checks import parity, parity_peers
from losses.checks.parity import compare
from losses.checks.parity_peers import LIBRARIES, NOT_COMPARED, PEERS

PLACES = {(peer.ours, peer.library): peer for peer in PEERS}


@pytest.fixture(scope="module")
def result_of() -> Callable[[tuple[str, str]], parity.Parity]:
    """A place's comparison, made once for all tests; not beyond them, or a run of mutants would read the old one."""
    return functools.cache(lambda place: compare(PLACES[place]))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def side(*rows: list[float]) -> losses.SequenceLogProbs:
    width = max(map(len, rows))
    tokens = torch.tensor([row + [-99.0] * (width - len(row)) for row in rows])
    mask = torch.arange(width) < torch.tensor([[len(row)] for row in rows])
    return losses.SequenceLogProbs.from_tokens(tokens, mask)


@pytest.fixture
def pair() -> losses.PairBatch:
    """c = -3 (2 tokens), r = -6 (3); reference -4 and -5; a = 1, d = -1, h = 2; one prompt token."""
    return losses.PairBatch(
        side([-1.0, -2.0]), side([-1.0, -2.0, -3.0]), side([-1.5, -2.5]), side([-1.25, -1.75, -2.0]), side([-0.5])
    )


# a/nc = 1/2, d/nr = -1/3; cbar = -1.5, rbar = -2; odds(p) = p/(1 - p)
LOG_ODDS = -1.5 - math.log1p(-math.exp(-1.5)) + 2.0 + math.log1p(-math.exp(-2.0))


@pytest.mark.parametrize(
    ("fn", "settings", "expected"),
    [
        (parity_peers.halos_dpo, {"beta": 0.5}, softplus(-1.0)),
        (parity_peers.halos_cdpo, {"beta": 0.5, "epsilon": 0.2}, 0.8 * softplus(-1.0) + 0.2 * softplus(1.0)),
        (parity_peers.halos_ipo, {"tau": 0.5}, (1 / 2 + 1 / 3 - 1.0) ** 2),
        (parity_peers.halos_simpo, {"beta": 2.0, "gamma_beta_ratio": 0.3}, softplus(-2.0 * (0.5 - 0.3))),
        (parity_peers.halos_slic, {"beta": 4.0, "lambda_coef": 0.1}, 1.0 + 0.1 * 3.0 / 4),  # 1 + max(2, 3) positions
        (
            parity_peers.factory_sigmoid,
            {"beta": 0.5, "label_smoothing": 0.2},
            0.8 * softplus(-1.0) + 0.2 * softplus(1.0),
        ),
        (parity_peers.factory_ipo, {"beta": 0.6}, softplus(-0.6 * (1 / 2 + 1 / 3))),
        # the rejected answer's third token weighs one half, the reference stays whole: -3 + 4.5 - (-4 + 5)
        (parity_peers.factory_ld_dpo, {"beta": 0.5, "alpha": 0.5}, softplus(-0.5 * ((-3.0 + 4.5) - (-4.0 + 5.0)))),
        (parity_peers.factory_simpo, {"beta": 2.0, "simpo_gamma": 0.6}, softplus(-(2.0 * 0.5 - 0.6))),
        (parity_peers.factory_orpo, {"beta": 0.5}, 1.5 + 0.5 * softplus(-LOG_ODDS)),
        (parity_peers.openrlhf_dpo, {"beta": 0.5, "label_smoothing": 0.0}, softplus(-1.0)),
        (parity_peers.openrlhf_ipo, {"beta": 0.5}, 1.0),
    ],
)
def test_a_formula_gives_the_value_worked_out_by_hand(pair, fn, settings, expected):
    assert fn(pair, **settings).item() == pytest.approx(expected, rel=1e-5)


def test_halos_counts_tokens_by_their_log_ratio_and_has_no_value_where_all_are_zero(pair):
    half = losses.PairBatch(pair.chosen, pair.rejected, side([-1.5, -2.0]), pair.ref_rejected)
    assert parity_peers.halos_ipo(half, tau=0.5).item() == pytest.approx((0.5 / 1 + 1 / 3 - 1.0) ** 2, rel=1e-5)
    equal = losses.PairBatch(pair.chosen, pair.rejected, pair.chosen, pair.rejected)
    assert parity_peers.halos_ipo(equal).isnan()


def test_a_drift_below_zero_counts_as_none():
    policy, reference = side([-1.0], [-2.0]), side([-3.0], [-1.0])
    below, none = (
        losses.ExampleBatch(policy, reference, torch.tensor([True, False]), kl=torch.tensor(kl)) for kl in (-3.0, 0.0)
    )
    expected = (1 / (1 + math.exp(1.0)) + 1 / (1 + math.exp(0.5))) / 2  # s(-0.5*2), s(0.5*-1)
    assert parity_peers.halos_kto(below, beta=0.5).item() == pytest.approx(expected, rel=1e-5)
    assert parity_peers.halos_kto(none, beta=0.5).item() == pytest.approx(expected, rel=1e-5)


def test_every_entry_names_a_registered_loss_and_a_known_library_once():
    places = [(peer.ours, peer.library) for peer in PEERS] + list(NOT_COMPARED)
    assert len(places) == len(set(places))
    assert {name for name, _ in places} <= set(losses.names())
    assert {library for _, library in places} == set(LIBRARIES)


@pytest.mark.parametrize("place", PLACES)
def test_a_reason_to_differ_is_declared_exactly_where_the_numbers_differ(result_of, place):
    result = result_of(place)
    assert result.ours.is_finite
    assert result.theirs.is_finite
    assert result.is_same == (not result.peer.why)


@pytest.mark.parametrize("place", [place for place, peer in PLACES.items() if peer.as_it_comes])
def test_defaults_that_are_warned_of_do_change_the_value(result_of, place):
    assert not result_of(place).as_it_comes.equals(result_of(place).theirs)


@pytest.mark.parametrize("place", [place for place, peer in PLACES.items() if "micro-batch's own" in peer.why])
def test_what_is_said_to_hang_on_the_micro_batch_is_the_same_in_one(result_of, place):
    assert result_of(place).ours.equals(result_of(place).whole)


def test_only_the_known_losses_break_in_the_edge_cases(result_of):
    broken = {case: {place for place in PLACES if case in result_of(place).breaks} for case in parity.EDGES}
    start, certain, lost = broken.values()
    assert start == {("ipo", "HALOs"), ("ipo_sum", "HALOs")}
    assert certain == {(name, library) for name in ("orpo", "orpo_prompt_nll") for library in ("TRL", "LLaMA-Factory")}
    assert lost == {("dpo_forward_kl", "TRL"), ("discopop", "TRL"), ("alphapo", "TRL")}
