"""The measured card against facts derived by hand, family by family."""

import functools
import math
from collections.abc import Callable

import pytest
import torch

import losses
from losses.checks.card import Card, card, conventions, letters

LN_2 = math.log(2.0)


@pytest.fixture(scope="module")
def card_of() -> Callable[[str], Card]:
    """A built-in loss's card, measured once for all tests; not beyond them, or a run of mutants would read the old."""
    return functools.cache(lambda name: card(losses.get(name)))


@pytest.mark.parametrize("name", losses.names())
def test_every_card_is_finite_and_agrees_with_the_declaration(card_of, name):
    loss, seen = losses.get(name), card_of(name)
    assert math.isfinite(seen.largest_value) and math.isfinite(seen.largest_gradient)
    assert seen.couples == loss.batch_coupled
    assert (seen.shift_invariant is None) == ("reference" not in loss.needs)
    assert (seen.difference_only is None) == (loss.kind == "pointwise")


# value where policy == reference, pull on wanted and push on unwanted answers there, by hand at the defaults
ANCHORS = {
    "dpo": (LN_2, 0.05, 0.05),
    "ipo_sum": (25.0, 10.0, 10.0),  # (1/0.2)^2, 2/0.2
    "kto": (0.5, 0.025, 0.025),  # beta/4
    "cdpo": (LN_2, 0.03, 0.03),  # beta/2 * (1 - 2e)
    "robust": (LN_2, 0.0625, 0.0625),  # beta/2 / (1 - 2e)
    "dpo_forward_kl": (LN_2, 0.05, 0.05),
    "dpo_js": (LN_2, 0.025, 0.025),  # half: f'' of the Jensen-Shannon divergence
    "dpo_alpha": (LN_2, 0.05, 0.05),
    "dpop": (LN_2, 0.05, 0.05),
    "dpo_shift": (LN_2, 0.05, 0.0475),  # push times 0.95
    "dpo_shift_linear": (LN_2, 0.05, 0.04825),  # step 3 of 10: factor 0.965
    "hinge": (1.0, 0.05, 0.05),
    "exo_pair": (0.5 * math.log(0.25 / (0.001 * 0.999)), 0.025 * math.log(999), 0.025 * math.log(999)),
    "nca_pair": (2 * LN_2, 0.0025, 0.0025),  # beta/4
    "bco_pair": (2 * LN_2, 0.005, 0.005),
    "bco": (LN_2, 0.005, 0.005),
    "sppo_hard": (500000.0, 1000.0, 1000.0),  # 1/(2 beta^2), 1/beta
    "cal_dpo": (LN_2 + 25.0, 5.5, 5.5),  # 1/2 + 1/(2 beta)
    "apo_zero": (1.0, 0.025, 0.025),
    "apo_down": (1.0, 0.0, 0.025),
    "apo_zero_unpaired": (0.5, 0.025, 0.025),
    "aot": (LN_2, 0.005, 0.005),
    "aot_unpaired": (LN_2, 0.005, 0.005),
    "discopop": ((LN_2 + 1) / 2, 0.05 * (0.75 - (1 - LN_2) / 0.2), 0.05 * (0.75 - (1 - LN_2) / 0.2)),
}


@pytest.mark.parametrize("name", ANCHORS)
def test_the_start_is_where_hand_arithmetic_puts_it(card_of, name):
    seen = card_of(name)
    for numbers, expected in zip((seen.start_value, seen.start_pull, seen.start_push), ANCHORS[name], strict=True):
        assert numbers.is_constant
        assert numbers.low == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", ["simpo", "orpo", "cpo", "slic", "rrhf", "simper", "unlikelihood", "alphapo", "sft"])
def test_without_a_reference_the_start_has_no_anchor(card_of, name):
    assert not card_of(name).start_value.is_constant


SUMS = "dpo ipo_sum kto cdpo robust hinge exo_pair nca_pair bco_pair bco sppo_hard cal_dpo apo_zero aot dpop ld_dpo"
MEANS = "ipo simpo orpo orpo_prompt_nll sft ln_dpo cpo_simpo simper alphapo unlikelihood"
NEITHER = "cpo slic rrhf r_dpo wpo sampo"


@pytest.mark.parametrize(
    ("name", "reads"),
    [(name, "sums") for name in SUMS.split()]
    + [(name, "means") for name in MEANS.split()]
    + [(name, "neither alone") for name in NEITHER.split()],
)
def test_sums_and_means_are_told_apart(card_of, name, reads):
    assert card_of(name).reads == reads


# L(h) - L(-h) by hand: log sigmoid gives -beta*h, a square around 1/(2 beta) gives -2h/beta
SLOPES = {
    "dpo": -0.1,
    "ln_dpo": -5.0,
    "cdpo": -0.06,
    "robust": -0.125,
    "ipo": -20.0,
    "ipo_sum": -20.0,
    "bco_pair": -0.01,
    "sppo_hard": -2000.0,
    "cal_dpo": -11.0,
    "sft": -1.0,
}


@pytest.mark.parametrize("name", [name for name in losses.names() if losses.get(name).kind == "pairwise"])
def test_swapping_the_answers_costs_a_multiple_of_the_margin_or_none(card_of, name):
    slope = card_of(name).swap_slope
    assert slope == (pytest.approx(SLOPES[name], rel=1e-6) if name in SLOPES else None)


def test_difference_only_tells_contrasts_from_losses_that_hold_each_answer(card_of):
    contrasts = "dpo ipo ipo_sum simpo cdpo robust ln_dpo r_dpo hinge exo_pair discopop aot aot_unpaired"
    others = "nca_pair bco_pair sppo_hard cal_dpo apo_zero apo_down dpop dpo_shift dpo_js cpo orpo sft wpo"
    assert all(card_of(name).difference_only for name in contrasts.split())
    assert not any(card_of(name).difference_only for name in others.split())


def test_a_shift_of_both_models_changes_wpo_alone(card_of):
    changed = [name for name in losses.names() if card_of(name).shift_invariant is False]
    assert changed == ["wpo"]  # its weights read the policy without the reference


def test_extremes_are_those_of_the_formula(card_of):
    # largest |h| at one token: 4000 nats; hinge 1 + 0.05 * 4000, dpo 0.1 * 4000, squares (4000 + 5)^2
    assert card_of("hinge").largest_value == pytest.approx(201.0)
    assert card_of("dpo").largest_value == pytest.approx(400.0)
    assert card_of("ipo_sum").largest_value == pytest.approx(4005.0**2, rel=1e-4)
    # -(p + c)/2 at the largest, where the prompt goes with the rejected answer: 2000, and the odds are even
    assert card_of("orpo_prompt_nll").largest_value == pytest.approx(2000.0 + 0.1 * LN_2, rel=1e-6)


def test_an_undeclared_coupling_and_a_nan_are_seen_by_the_probe_first(forgetful_registry, plugin_folder):
    for name in ("bad_batch_mean", "bad_nan"):
        losses.load_plugin(str(plugin_folder / f"{name}.py"))
        with pytest.raises(ValueError, match=name):
            card(losses.get(name))


def test_an_overflow_at_the_extremes_is_shown(forgetful_registry):
    @losses.register("explodes", needs={"reference"})
    def explodes(pair: losses.PairBatch, *, beta: float = 0.1):
        return torch.exp(-beta * pair.margin)

    assert card(losses.get("explodes")).largest_value == math.inf


def test_the_card_of_a_sum_is_that_of_its_parts_together(forgetful_registry):
    seen = card(losses.combine("both", dpo=1.0, ipo_sum=0.5))
    assert seen.reads == "sums"
    assert seen.start_value.low == pytest.approx(LN_2 + 12.5, rel=1e-6)
    assert seen.swap_slope == pytest.approx(-10.1, rel=1e-6)


def test_a_statistic_is_handed_over_where_the_loss_asks_for_no_tokens(forgetful_registry):
    @losses.register("weighted", needs={"stats:entropy"})
    def weighted(pair: losses.PairBatch):
        return -pair.chosen.total * pair.chosen.stats["entropy"].sum(-1)

    assert card(losses.get("weighted")).largest_value == pytest.approx(2000.0 * 10.0)  # statistics end at -10


def test_the_legend_and_the_conventions_of_a_loss_are_read_from_its_docstrings():
    assert letters(losses.get("unlikelihood")) == (
        "cbar = mean log-prob per scored token of the chosen completion under the policy (nats), q_t = log-prob of "
        "the rejected completion's token t, nr = number of those tokens."
    )
    assert conventions(losses.get("ln_dpo")) == (
        "TRL's `sigmoid_norm`, which divides by a count that includes an unscored first token where the prompt is "
        "empty."
    )


def test_a_sum_has_no_legend_and_no_conventions_of_its_own(forgetful_registry):
    both = losses.combine("both", dpo=1.0, ipo_sum=0.5)
    assert (letters(both), conventions(both)) == ("", "")
