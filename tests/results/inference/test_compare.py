"""The table of verdicts over stored cells; the arithmetic of its test is in test_test.py."""

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
    reach = stats.t.ppf(0.975, best["degrees"]) * best["difference_se"]
    assert (best["low"], best["high"]) == pytest.approx((best["difference"] - reach, best["difference"] + reach))
    assert best["probability"] == pytest.approx(1 - best["p"] / 2)
    assert [best[f"seeds_{side}"] for side in "ab"] == [3, 3] and best["metric"] == "preference_accuracy"
    assert best["value_a"] - best["value_b"] == pytest.approx(best["difference"])
    assert 4 <= best["degrees"] < 203 and best["clusters"] == 200 and best["difference_se"] > best["difference_se_rows"]


def test_a_metric_that_is_better_when_lower_or_neither_has_its_own_words(runs):
    path = runs(rows=60, dpo=0.95, ipo=0.4)
    # Where a pair is wrong here, the chosen answer became less likely.
    assert results.compare(path, metric="displaced_fraction")["verdict"].tolist() == ["better"]
    assert results.compare(path, metric="rejected_logp_drift")["verdict"].tolist() == ["not distinguishable"]
    assert results.compare(path, metric="undecided_fraction")["verdict"].tolist() == ["not distinguishable"]
    assert results.compare(path, metric="margin")["verdict"].tolist() == ["higher"]
    assert results.compare(path, metric="margin", against="dpo")["verdict"].tolist() == ["lower"]


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
    path = runs(rows=40, dpo=0.8, ipo=0.5, kto=0.79, sft=0.5)
    assert len(results.compare(path, losses=["dpo", "sft"])) == 1
    against = results.compare(path, against="sft")
    assert against["b"].str.startswith("sft").all() and len(against) == 3
    with pytest.raises(ValueError, match="no finished cell of 'dpp'; there are: dpo, ipo, kto, sft"):
        results.compare(path, losses=["dpp"])
    with pytest.raises(ValueError, match="no finished cell of 'dpp', 'ipp'; there are: dpo"):
        results.compare(path, losses=["dpp"], against="ipp")
    with pytest.raises(ValueError, match="unknown metric 'accuracy'. Metrics of the test rows: preference_accuracy, "):
        results.compare(path, metric="accuracy")
    said = "the selected cells hold 1 loss, and no protocol has two settings measured on the same rows.$"
    with pytest.raises(ValueError, match=f"^Nothing to compare at '{path}', '{path}': {said}"):
        results.compare([path, path], losses=["dpo"])


def test_what_never_varies_has_no_probability_and_one_cluster_no_error(stored, pair_table, tmp_path):
    for loss, h in (("dpo", 1), ("ipo", -1)):
        for seed in range(3):
            for rows in (1, 10):
                table = pair_table([(-10 + h, -10, -10, -10, 5, 5)] * rows)
                stored(loss, f"{loss}{rows}{seed}", pairs=table, seed=seed, protocol=f"{rows} rows")
    one, ten = results.compare(tmp_path / "runs").to_dict("records")
    assert (one["protocol"], one["verdict"]) == ("1 rows", "no error over rows: no claim")
    assert (ten["verdict"], ten["difference"], ten["difference_se"]) == ("better", 1, 0)
    assert ten["p"] == 1 / 512 and math.isnan(ten["probability"])


def test_a_p_of_exactly_the_level_is_no_claim():
    line = {"seeds_a": 3, "seeds_b": 3, "difference": 0.1}
    assert compare._verdict(line, 0.05, "margin") == "not distinguishable"
    assert compare._verdict(line, 0.0499, "margin") == "higher"


def test_protocols_are_compared_apart_in_their_order_and_a_missing_one_last(stored, tmp_path):
    for protocol in ("z", "a", None):
        for loss in ("dpo", "ipo"):
            stored(loss, f"{loss}{protocol}", protocol=protocol, seed=0)
    found = results.compare(tmp_path / "runs")
    assert found["protocol"].tolist()[:2] == ["a", "z"] and found["protocol"].isna().tolist() == [False, False, True]


def test_a_cell_that_two_folders_hold_counts_once_whatever_machine_it_ran_on():
    first, second = (
        pd.DataFrame({"cell": cells, "device": device}) for cells, device in ((["x", "y"], "cpu"), (["y", "z"], "cuda"))
    )
    both = compare._together([first, second])
    assert both.to_numpy().tolist() == [["x", "cpu"], ["y", "cpu"], ["z", "cuda"]] and both.index.is_unique
    assert compare._together([first]) is first


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


def test_a_row_that_is_older_than_a_column_is_of_the_setting_of_those_that_have_it(stored, tmp_path):
    since = {"optimizer": "adamw", "weight_decay": 0.0}
    for seed in range(3):
        stored("dpo", f"d{seed}", seed=seed, protocol="p", **(since if seed else {}))
        stored("ipo", f"i{seed}", seed=seed, protocol="p", **since)
    (row,) = results.compare(tmp_path / "runs").to_dict("records")
    assert (row["a"], row["b"], row["seeds_a"], row["seeds_b"]) == ("dpo", "ipo", 3, 3)
    stored("ipo", "i3", seed=3, protocol="p", **(since | {"weight_decay": 0.1}))
    found = results.compare(tmp_path / "runs")
    assert "ipo weight_decay 0.1" in " ".join([*found["a"], *found["b"]]).replace("weight decay", "weight_decay")


def test_a_count_or_a_flag_that_some_settings_do_not_say_is_told_of_the_others(stored, tmp_path):
    for seed in range(3):
        stored("dpo", f"d{seed}", seed=seed, protocol="p", batch_size=8, length_balance=True)
        stored("ipo", f"i{seed}", seed=seed, protocol="p")
    (row,) = results.compare(tmp_path / "runs").to_dict("records")
    assert (row["a"], row["b"]) == ("dpo length_balance True, batch_size 8", "ipo")


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
