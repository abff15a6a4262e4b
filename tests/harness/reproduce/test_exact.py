"""Group 1: every figure matches, and a loss that is wrong on purpose does not."""

import importlib

import pytest
import torch

import losses
from harness.reproduce.catalogue import recipes
from harness.reproduce.exact import daa_toy, ipo_bandit
from harness.reproduce.exact.bandit import Bandit, full_batch, mini_batches, train
from harness.reproduce.frame import ERRATUM, MATCH
from tests.harness.reproduce.conftest import at_half_the_beta, mismatched_rows, swapped

QUICK = (
    "kto_table1",
    "archangel",
    "dpo_walkthrough",
    "loss_goldens",
    "daa_blur_stats",
    "oxrl_stats",
    "displacement_theory",
    "beta_against_lr",
)


def run(name, request):
    return importlib.import_module(f"harness.reproduce.exact.{name}").reproduce(request)


@pytest.mark.parametrize("name", QUICK)
def test_every_figure_of_a_quick_recipe_matches(name, request_of):
    checks = run(name, request_of())
    assert checks and {check.verdict for check in checks} <= {MATCH, ERRATUM}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ipo_bandit", "daa_toy"])
def test_every_figure_of_a_longer_recipe_matches(name, request_of):
    assert {check.verdict for check in run(name, request_of())} <= {MATCH, ERRATUM}


def test_the_whole_group_is_tested_here():
    exact = {recipe.name.replace("-", "_") for recipe in recipes().values() if recipe.group == 1}
    assert exact == {*QUICK, "ipo_bandit", "daa_toy"}


def test_the_interval_that_its_own_counts_contradict_is_the_only_erratum_of_table_1(request_of):
    errata = [(c.row, c.quantity) for c in run("kto_table1", request_of()) if c.verdict == ERRATUM]
    assert errata == [("unaligned_mistral7b-instruct", "half_width")]


# wrong on purpose


def test_ipo_with_sums_where_means_are_expected_fails_the_goldens(request_of, wrong):
    wrong("ipo", losses.get("ipo_sum").fn)
    assert mismatched_rows(run("loss_goldens", request_of())) == {"ipo, mean margin 7, beta=0.1"}


def test_ipo_with_means_where_sums_are_expected_fails_the_goldens(request_of, wrong):
    wrong("ipo_sum", losses.get("ipo").fn)
    assert mismatched_rows(run("loss_goldens", request_of())) == {"ipo_sum, h=7, beta=0.1"}


@pytest.fixture
def short_bandits(monkeypatch):
    """Full batches alone: their figures need no long runs."""
    monkeypatch.setattr(ipo_bandit, "STEPS", 3)
    monkeypatch.setattr(ipo_bandit, "SEEDS", 2)
    monkeypatch.setattr(ipo_bandit, "_ten_seeds", lambda drawn: [])
    monkeypatch.setattr(ipo_bandit, "FULL_STEPS", 2000)


def test_full_batches_reach_the_closed_forms_and_the_printed_set_does_not_move(request_of, short_bandits):
    checks = run("ipo_bandit", request_of())
    assert mismatched_rows([c for c in checks if c.row.startswith("ipo")]) == set()
    assert {c.row for c in checks if c.verdict == ERRATUM} == {"ipo D3 as printed", "dpo D3 as printed"}


def test_ipo_with_a_target_of_one_over_beta_fails_the_bandit_and_the_goldens(
    request_of, wrong, short_bandits, monkeypatch
):
    monkeypatch.setattr(ipo_bandit, "FULL_STEPS", 400)
    for name in ("ipo_sum", "ipo"):
        wrong(name, at_half_the_beta(name))
    assert "ipo D1 tau=0.5" in mismatched_rows(run("ipo_bandit", request_of()))
    assert "ipo at the reference" in mismatched_rows(run("loss_goldens", request_of()))


def test_dpo_with_swapped_sides_fails_the_walkthrough_and_the_bandit(request_of, wrong, short_bandits, monkeypatch):
    monkeypatch.setattr(ipo_bandit, "FULL_STEPS", 200)
    wrong("dpo", swapped("dpo"))
    assert mismatched_rows(run("dpo_walkthrough", request_of())) == {"dpo"}
    assert "dpo two actions tau=0.1" in mismatched_rows(run("ipo_bandit", request_of()))
    assert mismatched_rows(run("displacement_theory", request_of())) >= {"theorem 1", "squeezing, eta=1"}


def test_a_pointwise_loss_that_sees_pairs_only_fails_the_toy(request_of, wrong, monkeypatch):
    monkeypatch.setattr(daa_toy, "SEEDS", 4)
    monkeypatch.setattr(daa_toy, "EPOCHS", 15)
    wrong("nca_pair", losses.get("dpo").fn)
    assert {"nca_pair", "pairwise less pointwise"} <= mismatched_rows(run("daa_toy", request_of()))


def test_dpo_with_swapped_sides_has_no_exponents(request_of, wrong):
    wrong("dpo", swapped("dpo"))
    assert mismatched_rows(run("beta_against_lr", request_of())) == {"sgd", "adamw"}


# the bandit's machinery


def test_runs_side_by_side_are_the_runs_alone():
    bandits = [Bandit(((0, 1), (1, 2)), 0.3, (0.5, 0.3, 0.2)), Bandit(((2, 0),), 1.0, (0.2, 0.2, 0.6))]
    together = train("dpo", bandits, full_batch(bandits, 30))
    for place, bandit in enumerate(bandits):
        alone = train("dpo", [bandit], full_batch([bandit], 30))
        torch.testing.assert_close(together[place], alone[0], rtol=0, atol=1e-12)


def test_mini_batches_hold_the_run_s_own_pairs_and_seeds_differ():
    bandits = [Bandit(((0, 1), (1, 2)), 1.0, (1, 1, 1), seed) for seed in (0, 1)] + [Bandit(((2, 0),), 1.0, (1, 1, 1))]
    drawn = torch.stack(list(mini_batches(bandits, 40, 9)))
    assert drawn.shape == (40, 3, 9, 2)
    assert set(map(tuple, drawn[:, 0].flatten(0, 1).tolist())) == {(0, 1), (1, 2)}
    assert set(map(tuple, drawn[:, 2].flatten(0, 1).tolist())) == {(2, 0)}
    assert not torch.equal(drawn[:, 0], drawn[:, 1])
    torch.testing.assert_close(drawn, torch.stack(list(mini_batches(bandits, 40, 9))))


def test_icc1_of_equal_and_of_opposite_scores():
    x = torch.linspace(-1, 1, 50, dtype=torch.float64)
    assert daa_toy.icc1(torch.stack([x, x], -1)[None]).item() == pytest.approx(1)
    assert daa_toy.icc1(torch.stack([x, -x], -1)[None]).item() == pytest.approx(-1)
