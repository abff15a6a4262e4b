"""Spaces of a search: a loss's own ranges, the same number of trials for every loss, and settings that stay."""

import math

import pytest

from harness.experiment.spaces import Axis, proposed, spaces, trials_each
from harness.options.cards import make

ENTRY = {"dpo": {"beta": (0.1, 0.5, 2.0)}}


def tried(*losses, entry_grid=None, **values):
    """Loss -> its trials, controls apart."""
    options = make({"suite": "x", "losses": losses, "search": "random", "controls": False, **values})
    found = {}
    for trial in proposed(options, base_lr=1e-5, entry_grid=entry_grid or {}):
        found.setdefault(trial.loss, []).append(trial)
    return found


def space(loss, **values):
    options = make({"suite": "x", "losses": (loss,), "search": "random", **values})
    return spaces(options, base_lr=1e-5, entry_grid={})[0]


def test_settings_lie_between_the_ends_that_each_loss_declares():
    found = tried("dpo", "simpo", trials="32")
    assert {name: len(trials) for name, trials in found.items()} == {"dpo": 32, "simpo": 32}
    for trial in found["dpo"]:
        assert 0.01 <= trial.hyperparameters["beta"] <= 0.1 and 3.3e-6 <= trial.lr <= 3e-5
    assert {0.1 <= t.hyperparameters["gamma_beta_ratio"] <= 0.8 for t in found["simpo"]} == {True}
    assert len({trial.label for trial in found["dpo"]}) == 32 and {trial.seed for trial in found["dpo"]} == {0}


def test_a_scale_is_uniform_in_its_logarithm_and_another_axis_in_itself():
    assert Axis("beta", (0.01, 0.05, 1.0)).at(0.5) == 0.1
    assert Axis("dpo_beta", (0.01, 1.0)).at(0.5) == 0.1
    assert Axis("gamma_beta_ratio", (0.2, 0.8)).at(0.5) == 0.5
    assert Axis("alpha", (-1.0, 1.0)).at(0.25) == -0.5
    betas = [trial.hyperparameters["beta"] for trial in tried("dpo", trials="64")["dpo"]]
    below = sum(beta < math.sqrt(0.01 * 0.1) for beta in betas)
    assert 30 <= below <= 34  # quasi-random: nearly exactly half of them


def test_more_trials_add_to_those_that_were_tried():
    assert tried("dpo", trials="9")["dpo"][:4] == tried("dpo", trials="4")["dpo"]
    assert tried("dpo", trials="4", search_seed="1") != tried("dpo", trials="4")


def test_every_loss_tries_the_same_places_of_its_own_ranges():
    found = tried("dpo", "orpo", trials="5")
    ratios = [b.lr / a.lr for a, b in zip(found["dpo"], found["orpo"], strict=True)]
    assert ratios == pytest.approx([10.0] * 5, rel=0.01)  # orpo's lr_scale


def test_an_axis_with_one_value_costs_no_trials():
    assert [axis.name for axis in space("simper").axes] == ["lr"]  # it has no beta
    assert [axis.name for axis in space("dpo_js").axes] == ["lr"]  # one beta is declared
    fixed = space("dpo", loss_settings={"dpo": {"lrs": ("2e-5",)}})
    assert [axis.name for axis in fixed.axes] == ["beta"] and fixed.default.lr == 2e-5
    still = space("simper", lrs=("1e-5",))
    assert still.axes == ()
    assert len(tried("simper", lrs=("1e-5",))["simper"]) == 1


def test_what_the_user_gives_are_the_ends():
    given = space("dpo", loss_settings={"dpo": {"beta": ("1", "0.1"), "lrs": ("1e-6", "1e-4")}})
    assert {axis.name: axis.values for axis in given.axes} == {"lr": (1e-6, 1e-4), "beta": (0.1, 1.0)}
    assert given.default.hyperparameters["beta"] == 0.1 and given.default.lr == 1e-5  # the loss's own
    assert {axis.name: axis.values for axis in space("dpo", betas=("0.2", "0.4")).axes}["beta"] == (0.2, 0.4)


def test_the_model_entrys_grid_comes_before_the_losss():
    betas = [trial.hyperparameters["beta"] for trial in tried("dpo", entry_grid=ENTRY, trials="16")["dpo"]]
    assert min(betas) >= 0.1 and max(betas) > 0.5


def test_a_grid_takes_declared_values_without_repeats_and_as_many_of_every_loss():
    found = tried("dpo", "ipo", search="grid", trials="12")
    assert [len(trials) for trials in found.values()] == [9, 9]  # dpo declares 3 betas and 3 rates
    assert {trial.hyperparameters["beta"] for trial in found["ipo"]} <= {0.01, 0.1, 0.5, 1.0}
    assert len({trial.label for trial in found["dpo"]}) == 9
    options = make({"suite": "x", "losses": ("dpo", "simper"), "search": "grid", "lrs": ("1e-5",)})
    assert trials_each(options, spaces(options, base_lr=1e-5, entry_grid={})) == 3  # simper has nothing to search


def test_losses_take_turns_so_that_a_search_cut_short_was_fair():
    options = make({"suite": "x", "losses": ("dpo", "ipo"), "search": "random", "trials": "2"})
    order = [trial.loss for trial in proposed(options, base_lr=1e-5, entry_grid={})]
    assert order == ["none", "sft", "dpo", "ipo", "dpo", "ipo"]


def test_a_searched_value_that_the_loss_forbids_is_refused():
    with pytest.raises(ValueError, match="label_smoothing is 0.7"):
        space("cdpo", loss_settings={"cdpo": {"label_smoothing": ("0.7",)}})
