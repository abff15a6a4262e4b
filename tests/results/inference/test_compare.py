"""The test of two losses: its arithmetic, and the table over stored cells (its error rates: tests/benchmarks)."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import results
from results.inference import compare
from results.schema.row import names
from results.schema.tables import COMPARISON_COLUMNS


def test_the_error_by_hand():
    a, b = np.array([0.5, 0.7, 0.6]), np.array([0.4, 0.4, 0.1])
    rows_a, rows_b = np.tile([[1.0, 0.0, 1.0, 1.0]], (3, 1)), np.tile([[0.0, 0.0, 1.0, 0.0]], (3, 1))
    found = compare.difference(a, b, rows_a, rows_b)
    over_rows = np.var([1, 0, 0, 1], ddof=1) / 4
    assert found.value == pytest.approx(0.3)
    assert found.se == pytest.approx(math.sqrt(0.01 / 3 + 0.03 / 3 + over_rows))  # equal rows: nothing is in both
    assert found.se_rows == pytest.approx(math.sqrt(over_rows))
    assert found.degrees == pytest.approx(found.se**4 / ((0.01 / 3) ** 2 / 2 + (0.03 / 3) ** 2 / 2 + over_rows**2 / 3))
    assert found.p == pytest.approx(2 * stats.t.sf(0.3 / found.se, found.degrees))


def test_what_single_runs_make_of_single_rows_is_counted_once():
    a, b = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]), np.zeros((2, 3))  # residuals: +-2/3, +-1/3, +-1/3 around 1/2
    found = compare.difference(a.mean(axis=1), b.mean(axis=1), a, b)
    over_runs, over_rows = np.var([1 / 3, 2 / 3], ddof=1) / 2, 0.0
    both = 2 * ((2 / 3) ** 2 + 2 * (1 / 3) ** 2) / (1 * 2) / (2 * 3)
    assert found.se_rows == over_rows
    assert found.se == pytest.approx(math.sqrt(max(0.0, over_runs - both)))


def test_runs_that_scatter_together_leave_at_least_the_degrees_of_freedom_of_their_seeds():
    rows = np.random.default_rng(0).random((3, 50)) < 0.5
    a = rows.astype(float)
    b = a.copy()
    b[0, 0] = 1 - b[0, 0]  # but for one answer the same, so that the gap hardly varies over rows
    found = compare.difference(a.mean(axis=1), b.mean(axis=1), a, b)
    assert found.degrees >= 2 and found.se < 0.02


@pytest.mark.parametrize("clusters", [2, 3, 6])
def test_many_seeds_on_few_clusters_do_not_make_equal_losses_different(clusters):
    draw = np.random.default_rng(0)
    a, b = (draw.normal(0, 1, (2000, 1, clusters)) + draw.normal(0, 0.3, (2000, 10, clusters)) for _ in range(2))
    assert np.mean(compare.difference(a.mean(axis=-1), b.mean(axis=-1), a, b).p < 0.05) < 0.07


def test_rows_that_all_agree_are_as_certain_as_their_number_makes_them():
    for clusters, p in ((2, 0.5), (5, 1 / 16), (11, 1 / 1024)):
        ones, zeros = np.ones((3, clusters)), np.zeros((3, clusters))
        assert compare.difference(ones.mean(axis=1), zeros.mean(axis=1), ones, zeros).p == p
        assert compare.difference(ones.mean(axis=1), ones.mean(axis=1), ones, ones).p == 1


def test_several_tests_at_once_are_the_tests_one_by_one():
    rng = np.random.default_rng(0)
    rows_a, rows_b = rng.random((4, 3, 20)), rng.random((4, 5, 20))
    whole = compare.difference(rows_a.mean(-1), rows_b.mean(-1), rows_a, rows_b)
    for place in range(4):
        one = compare.difference(rows_a[place].mean(-1), rows_b[place].mean(-1), rows_a[place], rows_b[place])
        assert [field[place] for field in whole] == pytest.approx(list(one))


def test_holm_by_hand():
    given = np.array([0.04, 0.01, math.nan, 0.03])
    assert compare.holm(given) == pytest.approx([0.06, 0.03, math.nan, 0.06], nan_ok=True)
    assert compare.holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_pseudo_values_of_a_mean_are_the_rows_values(four_pairs):
    found = compare._pseudo_values(results.metrics.checked(four_pairs), "preference_accuracy", {})
    assert found == pytest.approx([1, 1, 0, 0.5])
    doubled = pd.concat([four_pairs, four_pairs], ignore_index=True)
    assert compare._pseudo_values(results.metrics.checked(doubled), "margin", {}) == pytest.approx([4, 1, -2, 0])


@pytest.fixture
def runs(stored, pair_table, tmp_path):
    """runs(dpo=0.75, ipo=0.55): three seeds of each loss with about this accuracy on the same 200 rows."""

    def write(seeds=3, rows=200, **accuracy):
        random = np.random.default_rng(0)
        for loss, share in accuracy.items():
            for seed in range(seeds):
                right = np.where(random.random(rows) < share, 1.0, -1.0)
                table = pair_table([(-10 + h, -10, -10, -10, 5, 5) for h in right])
                stored(
                    loss,
                    f"{loss}{seed}",
                    pairs=table,
                    seed=seed,
                    protocol="p",
                    lr=1e-5,
                    beta=0.1,
                    control=loss == "sft",
                    reward="log_ratio",
                    hyperparameters=json.dumps({"beta": 0.1}),
                )
        return tmp_path / "runs"

    return write


def test_every_pair_of_losses_is_compared_and_the_clear_one_called(runs):
    found = results.compare(runs(dpo=0.8, ipo=0.5, kto=0.79, sft=0.5))
    assert tuple(found.columns) == names(COMPARISON_COLUMNS)
    verdicts = {(row["a"], row["b"]): row["verdict"] for row in found.to_dict("records")}
    assert verdicts == {("dpo", "ipo"): "better", ("dpo", "kto"): "not distinguishable", ("ipo", "kto"): "worse"}
    best = found.iloc[0]
    assert best["probability"] > 0.99 and best["p_holm"] >= best["p"]
    assert best["low"] < best["difference"] < best["high"]
    assert 4 <= best["degrees"] < 203 and best["clusters"] == 200 and best["difference_se"] > best["difference_se_rows"]


def test_a_metric_that_is_better_when_lower_or_neither_has_its_own_words(runs):
    path = runs(dpo=0.95, ipo=0.4)
    # Where a pair is wrong here, the chosen answer became less likely.
    assert results.compare(path, metric="displaced_fraction")["verdict"].tolist() == ["better"]
    assert results.compare(path, metric="rejected_logp_drift")["verdict"].tolist() == ["not distinguishable"]
    assert results.compare(path, metric="undecided_fraction")["verdict"].tolist() == ["not distinguishable"]
    assert results.compare(path, metric="margin")["verdict"].tolist() == ["higher"]


def test_below_three_seeds_nothing_is_claimed(runs):
    (row,) = results.compare(runs(seeds=2, dpo=0.9, ipo=0.3)).to_dict("records")
    assert row["verdict"] == "2 seeds: no claim" and math.isnan(row["p"]) and math.isnan(row["p_holm"])
    assert row["difference"] > 0.4 and math.isfinite(row["difference_se_rows"]) and math.isnan(row["difference_se"])


def test_what_is_detectable_holds_the_correction_for_the_comparisons_made(runs):
    found = results.compare(runs(dpo=0.8, ipo=0.5, kto=0.79))
    for row in found.to_dict("records"):
        reach = stats.t.ppf(1 - 0.05 / 2 / 3, row["degrees"]) + stats.t.ppf(0.8, row["degrees"])
        assert row["detectable"] == pytest.approx(reach * row["difference_se"])


def test_a_difference_of_what_is_detectable_is_found_in_about_four_cases_of_five():
    draw, rows = np.random.default_rng(1), 200

    def first_of_ten(gap):  # five unlike losses, the first better than the others by this gap
        tables = [draw.normal(gap * (place == 0), 1, rows) + draw.normal(0, 0.3, (3, rows)) for place in range(5)]
        of = [
            compare.Side(str(place), str(place), (), (), table.mean(axis=1), table)
            for place, table in enumerate(tables)
        ]
        return compare.compared(of, "margin")[0]

    gap = float(np.median([first_of_ten(0.0)["detectable"] for _ in range(20)]))
    assert 0.7 < np.mean([first_of_ten(gap)["p_holm"] < 0.05 for _ in range(100)]) < 0.95


def test_a_metric_that_a_loss_does_not_have_gives_no_verdict(runs):
    (row,) = results.compare(runs(dpo=0.8, ipo=0.5), metric="displacement_ches").to_dict("records")
    assert row["verdict"] == "not measured: no claim" and math.isnan(row["p_holm"]) and math.isnan(row["detectable"])


def test_losses_and_the_one_to_compare_against_can_be_declared(runs):
    path = runs(dpo=0.8, ipo=0.5, kto=0.79, sft=0.5)
    assert len(results.compare(path, losses=["dpo", "sft"])) == 1
    against = results.compare(path, against="sft")
    assert against["b"].str.startswith("sft").all() and len(against) == 3
    with pytest.raises(ValueError, match="no finished cell of 'dpp'; there are: dpo, ipo, kto, sft"):
        results.compare(path, losses=["dpp"])
    with pytest.raises(ValueError, match="unknown metric 'accuracy'"):
        results.compare(path, metric="accuracy")
    with pytest.raises(ValueError, match="Nothing to compare"):
        results.compare(path, losses=["dpo"])


def test_settings_of_one_loss_are_sides_of_their_own(stored, pair_table, tmp_path):
    for beta in (0.1, 0.5):
        for seed in range(3):
            table = pair_table([(-10 + (1 if (i + seed) % 4 else -1), -10, -10, -10, 5, 5) for i in range(40)])
            stored(
                "dpo",
                f"d{beta}{seed}",
                pairs=table,
                seed=seed,
                protocol="p",
                beta=beta,
                hyperparameters=json.dumps({"beta": beta}),
            )
    (row,) = results.compare(tmp_path / "runs").to_dict("records")
    assert (row["a"], row["b"]) == ("dpo beta 0.1", "dpo beta 0.5") and row["difference"] == 0


def test_other_rows_are_never_compared(stored, pair_table, four_pairs, tmp_path):
    other = four_pairs.assign(pair_id=[f"other-{place}" for place in range(4)])
    for seed in range(3):
        stored("dpo", f"d{seed}", seed=seed, protocol="p")
        stored("ipo", f"i{seed}", pairs=other, seed=seed, protocol="p")
    with pytest.warns(UserWarning, match="left out 1 comparisons"), pytest.raises(ValueError, match="Nothing to"):
        results.compare(tmp_path / "runs")
    stored("dpo", "d3", pairs=other, seed=3, protocol="p")
    with pytest.raises(ValueError, match="The seeds of dpo were measured on different test rows"):
        results.compare(tmp_path / "runs")


def test_two_cells_of_one_seed_are_refused(stored, tmp_path):
    stored("dpo", "c1", seed=0, protocol="p")
    stored("dpo", "c2", seed=0, protocol="p")
    with pytest.raises(ValueError, match="several cells of seed 0"):
        results.compare(tmp_path / "runs")


def test_after_a_search_its_claim_alone_is_compared(stored, pair_table, tmp_path):
    def cells(loss, role, share, seeds, **settings):
        for seed in seeds:
            right = [1 if (i * 7 + seed) % 20 < share * 20 else -1 for i in range(80)]
            name = f"{loss}{role}{seed}"
            stored(
                loss,
                name,
                pairs=pair_table([(-10 + h, -10, -10, -10, 5, 5) for h in right]),
                seed=seed,
                protocol="p",
                **settings,
            )
            stage = "claim" if role else "search"
            named.append({"cell": name, "loss": loss, "stage": stage, "trial": 0, "rung": None, "role": role})

    named = []
    for loss, share in (("dpo", 0.9), ("ipo", 0.5)):
        cells(loss, "", 0.2, [0], lr=1e-6)
        cells(loss, "winner", share, [1, 2, 3], lr=1e-5)
        cells(loss, "default", 0.5, [1, 2, 3], lr=1e-4)
    record = {"search": "one", "protocol": "p", "claim_seeds": [1, 2, 3], "cells": named}
    results.store.write_search(tmp_path / "runs" / "toy", record)
    found = results.compare(tmp_path / "runs")
    sides = [(row["a"].split()[:2], row["b"].split()[:2], row["verdict"]) for row in found.to_dict("records")]
    assert sides == [
        (["dpo", "winner"], ["ipo", "winner"], "better"),
        (["dpo", "winner"], ["dpo", "default"], "better"),
        (["ipo", "winner"], ["ipo", "default"], "not distinguishable"),
    ]
    everything = results.compare(tmp_path / "runs", search="none")
    assert len(everything) == 15 and "1 seed: no claim" in set(everything["verdict"])
    with pytest.raises(ValueError, match="no search 'x' at"):
        results.compare(tmp_path / "runs", search="x")
