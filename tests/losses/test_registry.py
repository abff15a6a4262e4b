"""The registry: what it knows, what it refuses, and in which words."""

from dataclasses import replace

import pytest

import losses
from losses import registry

pytestmark = pytest.mark.usefixtures("forgetful_registry")


def loss_of_pairs(pair: losses.PairBatch, *, beta: float = 0.1):
    return -beta * pair.chosen.total


def test_the_losses_of_the_mission_are_registered_in_order():
    expected = ("dpo", "ipo", "ipo_sum", "kto", "simpo", "orpo", "orpo_prompt_nll", "sft")
    assert losses.names()[:8] == expected


def test_the_losses_of_the_field_are_registered():
    words = """
        cdpo robust dpo_forward_kl dpo_js dpo_alpha ln_dpo r_dpo ld_dpo sampo dpop dpo_shift dpo_shift_linear wpo
        hinge slic rrhf exo_pair nca_pair bco_pair bco sppo_hard cal_dpo apo_zero apo_down apo_zero_unpaired aot
        aot_unpaired discopop alphapo cpo cpo_simpo simper unlikelihood
    """.split()
    assert set(words) <= set(losses.names())
    assert len(losses.names()) >= 8 + len(words)


@pytest.mark.parametrize(
    ("name", "kind", "needs", "reward", "defaults", "lr_scale"),
    [
        ("dpo", "pairwise", {"reference"}, "log_ratio", {"beta": 0.1}, 1.0),
        ("ipo", "pairwise", {"reference"}, "mean_log_ratio", {"beta": 0.1}, 1.0),
        ("ipo_sum", "pairwise", {"reference"}, "log_ratio", {"beta": 0.1}, 1.0),
        (
            "kto",
            "pointwise",
            {"reference", "mismatched"},
            "log_ratio",
            {"beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0},
            1.0,
        ),
        ("simpo", "pairwise", set(), "mean_log_prob", {"beta": 2.0, "gamma_beta_ratio": 0.5}, 1.0),
        ("orpo", "pairwise", set(), "log_odds", {"beta": 0.1}, 10.0),
        ("orpo_prompt_nll", "pairwise", {"prompt"}, "log_odds", {"beta": 0.1}, 10.0),
        ("sft", "pairwise", set(), "mean_log_prob", {}, 20.0),
        ("cpo", "pairwise", set(), "log_prob", {"beta": 0.1, "alpha": 1.0}, 10.0),
        ("ln_dpo", "pairwise", {"reference"}, "mean_log_ratio", {"beta": 5.0}, 1.0),
        ("ld_dpo", "pairwise", {"reference", "tokens"}, "log_ratio", {"beta": 0.1, "alpha": 0.5}, 1.0),
        ("wpo", "pairwise", {"reference", "tokens", "stats:log_sum_p2"}, "log_ratio", {"beta": 0.01}, 1.0),
        ("apo_zero_unpaired", "pointwise", {"reference"}, "log_ratio", {"beta": 0.1}, 1.0),
    ],
)
def test_every_card_says_what_its_loss_is(name, kind, needs, reward, defaults, lr_scale):
    loss = losses.get(name)
    assert (loss.kind, loss.needs, loss.reward) == (kind, frozenset(needs), reward)
    assert (loss.defaults, loss.lr_scale, loss.batch_coupled) == (defaults, lr_scale, False)
    assert (loss.source, loss.origin) == (None, None)


def test_an_unknown_loss_names_the_nearest_and_all_known():
    message = r"unknown loss 'dop'; did you mean 'dpo'\? Known: dpo, ipo, "
    with pytest.raises(LookupError, match=message) as error:
        losses.get("dop")
    assert not isinstance(error.value, KeyError)  # KeyError would print its message in quotes


def test_capital_letters_are_no_other_word():
    with pytest.raises(LookupError, match=r"unknown loss 'SimPO'; did you mean 'simpo'\?"):
        losses.get("SimPO")


def test_the_untrained_controls_name_is_refused():
    with pytest.raises(ValueError, match="^loss name 'none' is that of the untrained control, choose another\\.$"):
        losses.register("none")(loss_of_pairs)


def test_a_bare_declaration_has_sensible_defaults():
    losses.register("bare")(loss_of_pairs)
    losses.register("referred", needs="reference")(loss_of_pairs)
    bare = losses.get("bare")
    assert (bare.paper, bare.needs, bare.reward) == ("", frozenset(), "log_prob")
    assert (bare.grid, bare.lr_scale, bare.terms) == ({}, 1.0, {})
    assert losses.get("referred").needs == {"reference"}
    assert losses.get("referred").reward == "log_ratio"


def test_registering_returns_the_function_unchanged():
    assert losses.register("same")(loss_of_pairs) is loss_of_pairs
    assert losses.get("same").fn is loss_of_pairs


def test_a_taken_name_is_refused_and_kept():
    before = losses.get("dpo")
    with pytest.raises(ValueError, match="'dpo' is already registered by losses.dpo"):
        losses.register("dpo")(loss_of_pairs)
    assert losses.get("dpo") is before


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        (
            {"needs": {"referense"}},
            "needs 'referense'; did you mean 'reference'.*Allowed: reference, prompt, .*, stats:NAME",
        ),
        ({"needs": {"stats:"}}, "needs 'stats:'"),
        (
            {"reward": "log_odd"},
            "unknown reward 'log_odd'; did you mean 'log_odds'.*Known: log_ratio, mean_log_ratio, ",
        ),
        (
            {"reward": "mean_log_ratio"},
            "reward 'mean_log_ratio' compares with the reference, which it does not need; "
            'add "reference" to its needs, or name another reward',
        ),
        ({"grid": {"gamma": (1.0,)}}, "grid over 'gamma', its hyper-parameters are: beta"),
        ({"grid": {"beta": ()}}, r"grid of 'beta' is \(\)"),
        ({"grid": {"beta": (float("nan"),)}}, "grid of 'beta' is"),
        ({"lr_scale": 0.0}, "lr_scale is 0.0"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_refused(declaration, message):
    with pytest.raises(ValueError, match=message):
        losses.register("broken", **declaration)(loss_of_pairs)
    assert "broken" not in losses.names()


def test_a_grid_over_another_name_is_refused_with_all_that_the_loss_has():
    def loss_of_two(pair: losses.PairBatch, *, beta: float = 0.1, gamma: float = 1.0): ...
    def loss_of_none(pair: losses.PairBatch): ...

    with pytest.raises(ValueError, match="grid over 'alpha', its hyper-parameters are: beta, gamma"):
        losses.register("broken", grid={"alpha": (1.0,)})(loss_of_two)
    with pytest.raises(ValueError, match="grid over 'alpha', its hyper-parameters are: none"):
        losses.register("broken", grid={"alpha": (1.0,)})(loss_of_none)


@pytest.mark.parametrize("name", ["", "two words", "../up", "a,b"])
def test_a_name_that_is_no_plain_word_is_refused(name):
    with pytest.raises(ValueError, match="not a plain word"):
        losses.register(name)(loss_of_pairs)


def no_batch(): ...
def no_annotation(pair): ...
def other_annotation(pair: dict): ...
def no_class(pair: 3): ...
def positional(pair: losses.PairBatch, beta=0.1): ...
def catch_all(pair: losses.PairBatch, **settings): ...
def no_default(pair: losses.PairBatch, *, beta): ...
def flag(pair: losses.PairBatch, *, average=True): ...
def word(pair: losses.PairBatch, *, mode="sum"): ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_batch, "takes no batch"),
        (no_annotation, "first parameter 'pair' is missing, allowed: losses.PairBatch"),
        (other_annotation, "first parameter 'pair' is 'dict'"),
        (no_class, "first parameter 'pair' is '3'"),
        (positional, "'beta=0.1' is not keyword-only"),
        (catch_all, r"'\*\*settings' is not keyword-only"),
        (no_default, "default of 'beta' is missing"),
        (flag, "default of 'average' is True.*register the variant under its own name"),
        (word, "default of 'mode' is 'sum'"),
    ],
)
def test_a_signature_that_hides_hyperparameters_is_refused(function, message):
    with pytest.raises(ValueError, match=message):
        losses.register("broken")(function)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ("PairBatch", "pairwise"),
        ("losses.PairBatch", "pairwise"),
        ("'losses.ExampleBatch'", "pointwise"),
        (losses.ExampleBatch, "pointwise"),
    ],
)
def test_the_kind_is_read_from_classes_and_from_postponed_annotations(annotation, kind):
    def fn(batch): ...

    fn.__annotations__["batch"] = annotation
    losses.register("annotated")(fn)
    assert losses.get("annotated").kind == kind


def test_hyperparameters_are_filled_with_defaults_as_floats():
    values = losses.check_hyperparameters(losses.get("kto"), {"beta": 1})
    assert values == {"beta": 1.0, "desirable_weight": 1.0, "undesirable_weight": 1.0}
    assert all(type(value) is float for value in values.values())


def test_an_unused_hyperparameter_is_an_error_that_lists_the_used_ones():
    with pytest.raises(ValueError, match="'dpo' has no hyper-parameter 'label_smoothing'; It has: beta"):
        losses.check_hyperparameters(losses.get("dpo"), {"label_smoothing": 0.1})
    with pytest.raises(ValueError, match="did you mean 'gamma_beta_ratio'.*It has: beta, gamma_beta_ratio"):
        losses.check_hyperparameters(losses.get("simpo"), {"gamma_beta": 0.1})
    with pytest.raises(ValueError, match="It has: none"):
        losses.check_hyperparameters(losses.get("sft"), {"beta": 0.1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.1", True, None])
def test_a_value_that_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError, match="dpo.beta is .*finite number"):
        losses.check_hyperparameters(losses.get("dpo"), {"beta": value})


def test_losses_that_look_beyond_one_example_say_so():
    coupled = {name for name in losses.names() if losses.get(name).batch_coupled}
    assert coupled == {"aot", "aot_unpaired", "bco", "sampo"}


def test_limits_hold_for_the_names_that_sums_give_too():
    losses.combine("added", cdpo=1.0, robust=1.0)
    with pytest.raises(ValueError, match="added.cdpo_beta is -1.0.*added.robust_label_smoothing is 0.7"):
        losses.check_hyperparameters(losses.get("added"), {"cdpo_beta": -1.0, "robust_label_smoothing": 0.7})
    with pytest.raises(ValueError, match="discopop.tau is 0.0, allowed: a number above 0"):
        losses.check_hyperparameters(losses.get("discopop"), {"tau": 0.0})


@pytest.mark.parametrize("value", [0.0, -0.1])
def test_a_strength_must_be_positive(value):
    with pytest.raises(ValueError, match="beta is .*above 0"):
        losses.check_hyperparameters(losses.get("ipo"), {"beta": value})


def test_a_card_made_elsewhere_is_checked_like_a_declared_one():
    card = replace(losses.get("dpo"), name="mine", parts={"dpo": 1.0})
    registry.add(card)
    assert losses.get("mine") is card
    with pytest.raises(ValueError, match="loss 'mine' is already registered by losses.dpo"):
        registry.add(card)
    with pytest.raises(ValueError, match="lr_scale is 0, allowed: a number above 0"):
        registry.add(replace(card, name="other", lr_scale=0))
