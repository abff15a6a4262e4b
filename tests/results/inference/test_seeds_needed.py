"""Seeds that a finding needs: from the spread over seeds and rows, and as many as a simulated one then needs."""

import json

import numpy as np
import pytest

import results
from results.inference.seeds_needed import spread
from results.inference.test import Spread, difference, out_of_reach, seeds_for


def test_more_is_needed_for_less_and_some_differences_are_out_of_reach():
    known = Spread(seeds=0.02**2, rows=0.01**2, settings=2, runs=6)
    needed = [seeds_for(known, gap) for gap in (0.2, 0.05, 0.04, 0.035)]
    assert needed == sorted(needed) and needed[0] == 3
    assert seeds_for(known, 0.05, power=0.95) > needed[1]
    assert out_of_reach(known) == pytest.approx(2.8016 * 0.01, rel=1e-3)
    assert seeds_for(known, 0.9 * out_of_reach(known)) is None


def test_that_many_seeds_find_the_difference_as_often_as_asked():
    known, gap, clusters = Spread(seeds=0.02**2, rows=0.0, settings=2, runs=6), 0.04, 4
    seeds, rng = seeds_for(known, gap), np.random.default_rng(0)
    a, b = (rng.normal(shift, 0.02, (4000, seeds)) for shift in (gap, 0.0))
    found = difference(a, b, *(np.repeat(side[..., None], clusters, axis=-1) for side in (a, b)))
    assert 0.78 <= np.mean(found.p < 0.05) <= 0.9


@pytest.fixture
def runs(stored, pair_table, tmp_path):
    def write(*losses, seeds=3, sd=1.0):
        rng = np.random.default_rng(0)
        for loss in losses:
            for seed in range(seeds):
                shift = rng.normal(0, sd)
                table = pair_table([(-10 + shift + h, -10, -10, -10, 5, 5) for h in rng.normal(0, 1, 40)])
                stored(
                    loss,
                    f"{loss}{seed}",
                    pairs=table,
                    seed=seed,
                    protocol="p",
                    lr=1e-5,
                    hyperparameters=json.dumps({"beta": 0.1}),
                )
        return tmp_path / "runs"

    return write


def test_the_spread_is_pooled_over_settings(runs):
    found = spread(runs("dpo", "ipo"), "margin")
    tables = results.pairs(runs("dpo", "ipo"))
    margins = {cell: results.metrics.margin(rows) for cell, rows in tables.groupby("cell")}
    within = [np.var([margins[f"{loss}{seed}"] for seed in range(3)], ddof=1) for loss in ("dpo", "ipo")]
    assert found.seeds == pytest.approx(np.mean(within)) and (found.settings, found.runs) == (2, 6)
    assert results.seeds_needed(runs("dpo", "ipo"), "margin", 20.0) == 3
    half = seeds_for(found, 2.0, 0.5)
    assert results.seeds_needed(runs("dpo", "ipo"), "margin", 2.0, 0.5) == half < seeds_for(found, 2.0)
    accuracy = spread(runs("dpo", "ipo"), "preference_accuracy")
    assert spread(runs("dpo", "ipo")) == accuracy != found


def test_without_two_settings_of_two_seeds_nothing_is_known(runs):
    with pytest.raises(
        ValueError, match=r"^'.*runs' holds no protocol .* of the spread; run two losses with seeds=0,1"
    ):
        results.seeds_needed(runs("dpo"), "margin", 0.1)
    with pytest.raises(ValueError, match="unknown metric 'accuracy'. Metrics of the test rows: preference_accuracy, "):
        results.seeds_needed(runs("dpo"), "accuracy", 0.1)


@pytest.fixture
def cells(stored, pair_table, tmp_path):
    """cells("dpo", margins, seeds): a cell a seed, the margins of its rows the same but for 0.1 a seed."""

    def write(loss, margins, seeds=(0, 1), **row):
        row = {"protocol": "p", "lr": 1e-5} | row
        for seed in seeds:
            pairs = row.pop("pairs", None)
            table = pair_table([(-10 + h + 0.1 * seed, -10, -10, -10, 5, 5) for h in margins])
            if pairs is not None:
                table = table.assign(pair_id=pairs)
            stored(loss, f"{loss}{row['protocol']}{seed}", pairs=table, seed=seed, **row)
            if pairs is not None:
                row["pairs"] = pairs
        return tmp_path / "runs"

    return write


def test_the_spread_over_rows_is_the_mean_over_pairs_of_settings(cells):
    margins = {"dpo": [1.0, 0.0, 1.0, 0.0], "ipo": [0.0, 0.0, 1.0, 3.0], "kto": [2.0, 0.0, 0.0, 0.0]}
    for loss, given in margins.items():
        path = cells(loss, given)
    gaps = [
        np.var(np.subtract(margins[a], margins[b]), ddof=1) / 4
        for a, b in (("dpo", "ipo"), ("dpo", "kto"), ("ipo", "kto"))
    ]
    found = spread(path, "margin")
    assert found.rows == pytest.approx(np.mean(gaps)) and found.seeds == pytest.approx(0.1**2 / 2)
    assert (found.settings, found.runs) == (3, 6)


@pytest.mark.filterwarnings("error")
def test_settings_on_different_rows_tell_nothing_of_rows(cells):
    cells("dpo", [1.0, 0.0, 1.0, 0.0])
    found = spread(cells("ipo", [0.0, 0.0, 1.0, 3.0], pairs=list("wxyz")), "margin")
    assert found.rows == 0.0 and found.settings == 2


def test_controls_and_settings_of_single_seeds_are_left_out(cells):
    for loss in ("dpo", "ipo"):
        cells(loss, [1.0, 0.0, 1.0, 0.0], hyperparameters=None, lr=None)
    cells("sft", [0.0, 3.0, 1.0, 0.0], control=True)
    for seed, size in ((0, 8), (1, 16)):  # one seed of each of two settings
        path = cells("kto", [0.0, 0.0, 5.0, 0.0], seeds=[seed], batch_size=size)
    found = spread(path, "margin")
    assert (found.settings, found.runs) == (2, 4) and found.rows == 0.0


def test_the_protocol_with_most_runs_tells_unless_another_is_named(cells):
    for loss in ("dpo", "ipo"):
        cells(loss, [1.0, 0.0], protocol="few")
        cells(loss, [1.0, 0.0], protocol="many", seeds=(0, 1, 2))
        path = cells(loss, [1.0, 0.0], protocol="a few")
    assert spread(path, "margin").runs == 6 and spread(path, "margin", "few").runs == 4
    assert spread(path, "margin", "none") is None
