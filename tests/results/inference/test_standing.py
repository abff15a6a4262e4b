"""Who may be the best, and intervals over runs and rows."""

import numpy as np
import pandas as pd
import pytest

from results.inference.compare import sides
from results.inference.standing import standing
from results.inference.test import mean_over_runs
from results.metrics.statistics import Estimate, interval

PAIRS = 120


def cells(settings, seeds=3, noise=0.004, start=0):
    """Finished rows and pair tables of settings by their share of pairs ranked right, the same rows for all."""
    draw = np.random.default_rng(start)
    rows, tables, hard = [], {}, draw.permutation(PAIRS)
    for loss, accuracy in settings.items():
        for seed in range(seeds):
            right = hard < PAIRS * (accuracy + draw.normal(0, noise))
            cell = f"{loss}{seed}"
            rows.append(
                {
                    "loss": loss,
                    "seed": seed,
                    "cell": cell,
                    "hyperparameters": "{}",
                    "reward": "log_ratio",
                    "beta": 0.1,
                    "noise_floor": 0.0,
                }
            )
            tables[cell] = pd.DataFrame(
                {
                    "pair_id": [f"p{i}" for i in range(PAIRS)],
                    "cluster_id": [f"c{i}" for i in range(PAIRS)],
                    "split": "test",
                    "step": 4,
                    "policy_chosen_logp": np.where(right, -9.0, -11.0),
                    "policy_rejected_logp": -10.0,
                    "reference_chosen_logp": -10.0,
                    "reference_rejected_logp": -10.0,
                    "chosen_tokens": 5,
                    "rejected_tokens": 5,
                    "prompt_tokens": 3,
                }
            )
    return pd.DataFrame(rows), tables


def test_the_best_and_all_that_cannot_be_distinguished_from_it_are_tied():
    runs, tables = cells({"kto": 0.4, "dpo": 0.78, "ipo": 0.8})
    found = standing(runs, tables)
    assert [place.loss for place in found.places] == ["ipo", "dpo", "kto"]
    assert [place.tied for place in found.places] == [True, True, False]
    assert found.best is not None and found.best.loss == "ipo" and found.best.cells == ("ipo0", "ipo1", "ipo2")
    assert len(found.comparisons) == 3 and found.best.low < found.best.value < found.best.high
    assert (found.metric, found.defaults) == ("preference_accuracy", ())
    assert [(place.label, place.seeds) for place in found.places] == [("ipo", 3), ("dpo", 3), ("kto", 3)]


def test_of_three_that_are_all_told_apart_one_may_be_the_best():
    found = standing(*cells({"dpo": 0.9, "ipo": 0.6, "kto": 0.2}))
    assert [place.tied for place in found.places] == [True, False, False]


def test_a_place_has_students_interval_of_the_mean_over_its_runs():
    runs, tables = cells({"dpo": 0.6}, noise=0.05)
    (place,) = standing(runs, tables).places
    (side,) = sides(runs, tables, "preference_accuracy")
    mean = mean_over_runs(side.values, side.pseudo)
    assert mean.degrees < 60
    ends = interval(Estimate(mean.value, mean.se), mean.degrees)
    assert place[4:8] == (mean.value, mean.se, ends.low, ends.high)


def test_two_clusters_are_enough_for_a_place():
    runs, tables = cells({"dpo": 0.6})
    halves = {cell: table.assign(cluster_id=["a", "b"] * (PAIRS // 2)) for cell, table in tables.items()}
    assert len(standing(runs, halves).places) == 1


def test_defaults_of_a_claim_stand_apart_and_are_compared_with_their_own_winner():
    runs, tables = cells({"dpo": 0.8, "ipo": 0.7})
    default, measured = cells({"dpo": 0.5, "ipo": 0.45}, start=1)
    default = default.assign(cell="default " + default["cell"], role="default", lr=1e-4)
    tables |= {f"default {cell}": table for cell, table in measured.items()}
    found = standing(pd.concat([runs.assign(role="winner", lr=1e-5), default]), tables)
    assert [place.loss for place in found.places] == ["dpo", "ipo"]
    assert [(place.loss, place.tied) for place in found.defaults] == [("dpo", False), ("ipo", False)]
    compared = [(line["a"].split()[:2], line["b"].split()[:2]) for line in found.comparisons]
    winner, other = ["dpo", "winner"], ["ipo", "winner"]
    assert compared == [(winner, other), (winner, ["dpo", "default"]), (other, ["ipo", "default"])]


def test_of_a_column_that_should_fall_the_lowest_is_best():
    runs, tables = cells({"dpo": 0.4, "ipo": 0.9})
    assert standing(runs, tables, "displaced_fraction").places[0].loss == "ipo"


def test_a_column_without_a_good_direction_has_no_best():
    runs, tables = cells({"dpo": 0.4, "ipo": 0.9})
    found = standing(runs, tables, "margin")
    assert found.best is None and not any(place.tied for place in found.places) and len(found.comparisons) == 1


def test_settings_with_two_seeds_are_not_placed():
    runs, tables = cells({"dpo": 0.6, "ipo": 0.7})
    assert [place.loss for place in standing(runs[runs["cell"] != "ipo2"], tables).places] == ["dpo"]
    assert standing(runs[runs["seed"] == 0], tables).places == ()


def test_settings_on_different_rows_have_no_common_standing():
    runs, tables = cells({"dpo": 0.6, "ipo": 0.7})
    moved = {
        cell: table.assign(pair_id=table["pair_id"] + ("x" if cell.startswith("ipo") else ""))
        for cell, table in tables.items()
    }
    with pytest.raises(ValueError, match="^The settings were measured on different test rows, .* no common standing.$"):
        standing(runs, moved)


def test_settings_without_a_value_or_with_one_cluster_are_not_placed():
    runs, tables = cells({"dpo": 0.6, "ipo": 0.7})
    sides = ["policy_chosen_logp", "reference_chosen_logp", "chosen_tokens"]
    unpaired = {cell: table.assign(**dict.fromkeys(sides, np.nan)) for cell, table in tables.items()}
    assert standing(runs, unpaired).places == ()
    alike = {cell: table.assign(cluster_id="one") for cell, table in tables.items()}
    assert standing(runs, alike).places == ()


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.03])
def test_intervals_of_a_mean_cover_it_in_about_95_of_100_cases(seeds, spread):
    draw, rows, covered, turns = np.random.default_rng(7), 200, 0, 1500
    for _ in range(turns):
        level = 0.6 + draw.normal(0, 0.25, rows)  # the rows are a sample: some are easy
        values = level + draw.normal(0, spread, (seeds, 1)) + draw.normal(0, 0.3, (seeds, rows))
        found = mean_over_runs(values.mean(axis=1), values)
        ends = interval(Estimate(found.value, found.se), found.degrees)
        covered += ends.low <= 0.6 <= ends.high
    assert 0.93 <= covered / turns <= 0.97
