"""Expected best of n: exact, with a band that holds the whole curve as often as it says."""

import math
from itertools import combinations

import numpy as np
import pytest

import results
from results.cells import store
from results.inference.best_of_n_trials import expected_best
from results.schema.row import names
from results.schema.tables import TUNING_COLUMNS


def test_the_expected_best_is_the_mean_over_all_choices_of_n_trials():
    values = np.array([0.6, 0.5, 0.7, 0.55])
    curve = expected_best(values)
    by_hand = [np.mean([max(some) for some in combinations(values, n)]) for n in (1, 2, 3, 4)]
    assert curve.expected == pytest.approx(by_hand)
    assert (curve.low < curve.expected).all() and (curve.expected < curve.high).all()


def test_the_band_is_that_of_opda():
    # opda 0.8.0, EmpiricalDistribution.confidence_bands(values, 0.95, a=0, b=1, method="ks").average_tuning_curve
    values = np.random.default_rng(0).uniform(0.5, 0.7, 6)
    curve = expected_best(values)
    low = [0.250239295, 0.382683508, 0.453549392, 0.49210227, 0.513597481, 0.526003934]
    high = [0.835943402, 0.923905849, 0.964001148, 0.982834364, 0.991785641, 0.996061997]
    assert curve.low == pytest.approx(low, abs=1e-8) and curve.high == pytest.approx(high, abs=1e-8)


def test_the_band_holds_the_true_curve_in_at_least_95_percent_of_searches():
    rng, counts = np.random.default_rng(0), np.arange(1, 7)
    truth = 0.4 + 0.3 * counts / (counts + 1)  # uniform between 0.4 and 0.7
    held = []
    for _ in range(400):
        curve = expected_best(rng.uniform(0.4, 0.7, 6))
        held.append(bool(np.all((curve.low <= truth) & (truth <= curve.high))))
    assert np.mean(held) >= 0.95


@pytest.fixture
def searched(stored, tmp_path):
    def write(method="random"):
        cells = []
        for place, value in enumerate((0.6, 0.5, None, 0.7)):
            row = {"protocol": "p", "train_pairs": 32, "validation_preference_accuracy": value}
            if value is None:
                folder = store.cell_folder(tmp_path / "runs", "toy", "dpo", f"c{place}")
                row |= {"loss": "dpo", "cell": f"c{place}", "status": "failed", "reason": "NaN"}
                store.write_failed(folder, cell={}, row=row)
            else:
                stored("dpo", f"c{place}", **row)
            cells.append({"cell": f"c{place}", "loss": "dpo", "stage": "search", "trial": place, "rung": 0, "role": ""})
        cells.append({**cells[0], "rung": 1})
        record = {"search": "one", "protocol": "p", "method": method, "claim_seeds": [], "cells": cells}
        store.write_search(tmp_path / "runs" / "toy", record)
        return tmp_path / "runs"

    return write


def test_a_failed_trial_counts_as_the_untrained_model_and_later_rounds_of_a_race_do_not_count(searched):
    found = results.tuning.best_of_n(searched())
    assert tuple(found.columns) == names(TUNING_COLUMNS)
    assert found["n"].tolist() == [1, 2, 3, 4] and set(found["failed"]) == {1} and set(found["trials"]) == {4}
    assert found["expected"].iloc[0] == pytest.approx((0.6 + 0.5 + 0.5 + 0.7) / 4)
    assert found["expected"].iloc[-1] == 0.7 and found["low"].notna().all()


def test_only_random_search_has_a_band(searched):
    found = results.tuning.best_of_n(searched("grid"))
    assert math.isnan(found["low"].iloc[0]) and found["expected"].notna().all()


def test_a_search_is_named_by_its_id_and_losses_stand_in_its_order(stored, tmp_path):
    for loss, value in (("ipo", 0.6), ("dpo", 0.5)):
        stored(loss, loss, protocol="p", train_pairs=32, validation_preference_accuracy=value)
    cells = [
        {"cell": loss, "loss": loss, "stage": "search", "trial": 0, "rung": 0, "role": ""} for loss in ("ipo", "dpo")
    ]
    for name, some in (("one", cells), ("two", cells[1:])):
        record = {"search": name, "protocol": "p", "method": "random", "claim_seeds": [], "cells": some}
        store.write_search(tmp_path / "runs" / "toy", record)
    first, second = (results.tuning.best_of_n(tmp_path / "runs", name) for name in ("one", "two"))
    assert first[["search", "loss", "expected"]].to_numpy().tolist() == [["one", "ipo", 0.6], ["one", "dpo", 0.5]]
    assert second[["search", "loss", "expected"]].to_numpy().tolist() == [["two", "dpo", 0.5]]
