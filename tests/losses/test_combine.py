"""Weighted sums: values, names, what they need, and what makes two of them different."""

import pytest
import torch

import losses

pytestmark = pytest.mark.usefixtures("forgetful_registry")

PLUGIN = """import losses

@losses.register("mine", needs={"reference"})
def mine(pair: losses.PairBatch, *, beta: float = 0.1, gamma: float = 1.0):
    return -beta * gamma * pair.margin
"""


def test_a_sum_is_the_weighted_sum_in_value_and_gradient(pair, gradients):
    losses.combine("mixed", dpo=0.8, sft=0.2)
    batch = pair(-3.5, -6.0, -4.0, -5.0, nc=7, nr=3)
    # 0.8 * 0.387 + 0.2 * 3.5/7; dpo's weight at beta 0.5 is 0.321
    assert losses.get("mixed").fn(batch, beta=0.5).item() == pytest.approx(0.8 * 0.387 + 0.1, abs=5e-4)
    expected = (-0.8 * 0.5 * 0.321 - 0.2 / 7, 0.8 * 0.5 * 0.321)
    assert gradients("mixed", batch, beta=0.5) == pytest.approx(expected, abs=5e-4)


def test_its_card_follows_from_its_parts():
    loss = losses.combine("mixed", dpo=0.8, orpo_prompt_nll=0.2)
    assert losses.get("mixed") is loss
    assert (loss.kind, loss.reward, loss.batch_coupled) == ("pairwise", "log_ratio", False)
    assert loss.needs == {"reference", "prompt"}
    assert loss.lr_scale == 1.0  # the smaller of 1 and 10
    assert loss.parts == {"dpo": 0.8, "orpo_prompt_nll": 0.2}
    assert loss.defaults == {"dpo_beta": 0.1, "orpo_prompt_nll_beta": 0.1}
    assert loss.grid["dpo_beta"] == losses.get("dpo").grid["beta"]
    assert "0.8*(-ls(beta*h)) [beta = dpo_beta]" in loss.formula
    assert set(loss.terms) == set(loss.parts)


def test_its_formula_adds_up_the_formulas_with_weights_and_new_names_where_they_have_any():
    assert losses.combine("plain", dpo=1, sft=0.5).formula == "(-ls(beta*h)) + 0.5*(-cbar)"
    renamed = losses.combine("renamed", dpo=1, ipo_sum=2)
    assert renamed.formula == "(-ls(beta*h)) [beta = dpo_beta] + 2*((h - 1/(2*beta))^2) [beta = ipo_sum_beta]"


def test_a_strength_that_one_part_alone_has_stays_beta():
    assert losses.combine("one", dpo=1, sft=1).defaults == {"beta": 0.1}
    several = losses.combine("several", simpo=1, cpo=1).defaults
    assert several == {"simpo_beta": 2.0, "gamma_beta_ratio": 0.5, "cpo_beta": 0.1, "alpha": 1.0}


def test_each_part_gets_its_own_strength(pair):
    losses.combine("both", dpo=1.0, ipo_sum=1.0)
    batch = pair(-3.5, -6.0, -4.0, -5.0)
    value = losses.get("both").fn(batch, dpo_beta=0.5, ipo_sum_beta=0.25).item()
    expected = losses.get("dpo").fn(batch, beta=0.5) + losses.get("ipo_sum").fn(batch, beta=0.25)
    assert value == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("text", ["dpo+0.2*sft", "aot+0.5*dpo", "kto+bco", "ld_dpo+wpo+unlikelihood", "0.5*slic+rrhf"])
def test_sums_pass_the_probe_over_their_grids(text):
    loss = losses.named(text)
    for key, values in [("", [0.0]), *loss.grid.items()]:
        for value in values:
            losses.probe(loss, {key: value} if key else {})


def test_batch_coupling_is_inherited():
    assert losses.named("aot+0.5*dpo").batch_coupled
    assert losses.named("kto+bco").batch_coupled


def test_the_terms_of_a_sum_with_state_add_up_when_asked_after_it():
    loss = losses.named("bco+0.5*apo_zero_unpaired")
    batch = losses.random_examples(6, seed=2, needs=loss.needs)
    whole = loss.fn(batch)
    apart = sum(term(batch, **loss.defaults) for term in loss.terms.values())
    torch.testing.assert_close(apart, whole)
    assert batch.state["bco_count"] == 6


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("dpo+0.2*sft", "dpo_plus_sft_x0p2"),
        ("0.8*dpo + 0.2*sft", "dpo_x0p8_plus_sft_x0p2"),
        ("dpo+1*sft", "dpo_plus_sft"),
        ("dpo+1e-5*sft", "dpo_plus_sft_x1em05"),
        ("2*dpo", "dpo_x2"),
        ("1e20*dpo", "dpo_x1e20"),
        ("dpo", "dpo"),
    ],
)
def test_a_text_names_a_sum_by_a_plain_word(text, name):
    assert losses.named(text).name == name
    assert name.isidentifier()


def test_the_same_text_gives_the_same_card_and_other_weights_another():
    one = losses.named("dpo+0.2*sft")
    assert losses.named("dpo+0.2*sft") is one
    assert losses.named("dpo+0.20*sft") is one
    other = losses.named("dpo+0.3*sft")
    assert (other.name, other.source) != (one.name, one.source)


def test_weights_under_one_name_make_different_sources():
    first = losses.combine("mixed", dpo=0.8, sft=0.2).source
    losses.registry.forget("mixed")
    assert losses.combine("mixed", dpo=0.7, sft=0.3).source != first


def test_an_edited_plugin_makes_another_sum(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    losses.load_plugin(str(file))
    before = losses.named("mine+0.2*sft")
    assert before.defaults == {"beta": 0.1, "gamma": 1.0}
    file.write_text(PLUGIN.replace("1.0", "2.0"))
    losses.load_plugin(str(file))
    after = losses.named("mine+0.2*sft")
    assert (after.name, after.defaults["gamma"]) == (before.name, 2.0)
    assert after.source != before.source


def test_a_plugin_may_add_up_its_own_losses(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN + '\nlosses.combine("mine_and_sft", mine=1.0, sft=0.1)\n')
    assert losses.load_plugin(str(file)) == ("mine", "mine_and_sft")
    assert losses.get("mine_and_sft").origin == str(file)
    losses.probe(losses.get("mine_and_sft"), {"gamma": 2.0})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dpo+", "'dpo\\+' has an empty term"),
        ("dpo+*sft", "has an empty term"),
        ("x*dpo", "the weight 'x' of 'dpo' in .* is not a number"),
        ("dpo+0*sft", "the weight of 'sft' is 0.0, allowed: a number above 0"),
        ("dpo+-1*sft", "the weight of 'sft' is -1.0"),
        ("dpo+nan*sft", "the weight of 'sft' is nan"),
        ("dpo+dpo", "'dpo' stands twice"),
        ("dpo+kto", "different kinds cannot be added: dpo is pairwise, kto is pointwise"),
    ],
)
def test_a_text_that_is_no_sum_is_refused_and_nothing_is_registered(text, message):
    before = losses.names()
    with pytest.raises(ValueError, match=message):
        losses.named(text)
    assert losses.names() == before


def test_an_unknown_part_has_a_guess():
    with pytest.raises(LookupError, match="unknown loss 'dop'; did you mean 'dpo'"):
        losses.named("dop+0.2*sft")
    with pytest.raises(LookupError, match="did you mean 'sft'"):
        losses.combine("mixed", dpo=1.0, stf=1.0)


@pytest.mark.parametrize("weights", [{}, {"dpo": True}, {"dpo": "0.5"}, {"dpo": float("inf")}])
def test_weights_that_are_no_numbers_are_refused(weights):
    with pytest.raises(ValueError, match="a sum of no losses|the weight of 'dpo' is"):
        losses.combine("mixed", **weights)


def test_a_taken_name_and_a_name_that_is_no_word_are_refused():
    with pytest.raises(ValueError, match="'dpo' is already registered"):
        losses.combine("dpo", ipo=1.0)
    with pytest.raises(ValueError, match="not a plain word"):
        losses.combine("dpo+ipo", dpo=1.0, ipo=1.0)


def test_a_hyperparameter_that_no_part_has_is_refused_by_the_function():
    loss = losses.named("dpo+0.2*sft")
    batch = losses.random_pairs(3, seed=1, needs=loss.needs)
    with pytest.raises(TypeError, match="gamma"):
        loss.fn(batch, gamma=1.0)
