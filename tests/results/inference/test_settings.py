"""Means over the seeds of a setting, and a metric over beta and lr."""

import json
import math

import pandas as pd
import pytest

import results
from results.inference.settings import SETTING, means, surface
from results.schema.row import KNOBS


@pytest.fixture
def runs(stored):
    """dpo at two betas with two seeds each, ipo once, a control, and a failed cell that must not count."""
    for beta, seed, accuracy in ((0.1, 0, 0.6), (0.1, 1, 0.7), (0.3, 0, 0.5), (0.3, 1, 0.9)):
        stored(
            "dpo",
            f"d{beta}{seed}",
            beta=beta,
            lr=1e-5,
            seed=seed,
            hyperparameters={"beta": beta},
            control=False,
            preference_accuracy=accuracy,
            preference_accuracy_se=0.02 + 0.02 * seed,
        )
    stored(
        "ipo", "i", beta=0.1, lr=1e-5, seed=0, hyperparameters={"beta": 0.1}, control=False, preference_accuracy=0.55
    )
    folder = stored("none", "n", control=True, preference_accuracy=0.5)
    return results.read(folder.parent)


def test_seeds_of_a_setting_become_one_row_with_mean_error_and_range(runs):
    found = means(runs, ["preference_accuracy"])
    assert len(found) == 4
    first = found[(found["loss"] == "dpo") & (found["beta"] == 0.1)].iloc[0]
    assert first["preference_accuracy"] == pytest.approx(0.65) and first["seeds"] == 2
    assert first["preference_accuracy_se"] == pytest.approx(0.03)
    assert (first["preference_accuracy_low"], first["preference_accuracy_high"]) == (0.6, 0.7)
    assert json.loads(first["hyperparameters"]) == {"beta": 0.1}


def test_cells_that_did_not_finish_do_not_count(runs):
    failed = runs.assign(status=["failed" if cell == "d0.11" else "done" for cell in runs["cell"]])
    found = means(failed, ["preference_accuracy"])
    first = found[(found["loss"] == "dpo") & (found["beta"] == 0.1)].iloc[0]
    assert first["seeds"] == 1 and first["preference_accuracy"] == 0.6


def test_equal_settings_of_two_protocols_stay_apart(runs):
    two = runs.assign(protocol=["a" if seed == 0 else "b" for seed in runs["seed"].fillna(0)])
    assert len(means(two, ["preference_accuracy"])) == 6


def test_a_surface_has_a_row_a_loss_beta_and_lr_without_baselines(runs):
    found = surface(runs, "preference_accuracy")
    assert [(row.loss, row.beta, row.seeds) for row in found.itertuples()] == [
        ("dpo", 0.1, 2),
        ("dpo", 0.3, 2),
        ("ipo", 0.1, 1),
    ]
    assert found["value"].tolist() == pytest.approx([0.65, 0.7, 0.55])


def test_a_surface_averages_over_further_hyperparameters(stored):
    for gamma, accuracy in ((0.3, 0.6), (0.5, 0.8)):
        given = {"beta": 2.0, "gamma_beta_ratio": gamma}
        folder = stored(
            "simpo",
            f"s{gamma}",
            beta=2.0,
            lr=1e-5,
            seed=0,
            hyperparameters=given,
            control=False,
            preference_accuracy=accuracy,
        )
    (line,) = surface(results.read(folder.parent), "preference_accuracy").to_dict("records")
    assert line["value"] == pytest.approx(0.7) and line["settings"] == 2


def test_a_metric_that_no_cell_has_gives_an_empty_surface(runs):
    assert surface(runs, "gold_reward").empty
    columns = ["protocol", "loss", *KNOBS, "beta", "lr", "value", "settings", "seeds"]
    assert list(surface(runs, "gold_reward").columns) == columns
    assert math.isnan(means(runs, ["gold_reward"])["gold_reward"].iloc[0])


def test_external_checkpoints_are_runs_of_one_setting_where_their_seeds_say_so(stored):
    for loss, seeds in (("dpo", (0, 1)), ("ipo", (None, None))):
        for number, seed in enumerate(seeds):
            folder = stored(
                loss,
                f"{loss}{number}",
                beta=0.1,
                seed=seed,
                hyperparameters={"beta": 0.1},
                control=False,
                trained_model=f"{loss}-{number}",
                preference_accuracy=0.5 + 0.1 * number,
            )
    found = means(results.read(folder.parent), ["preference_accuracy"]).set_index("trained_model")
    assert found["loss"].tolist() == ["dpo", "ipo", "ipo"] and found["seeds"].tolist() == [2, 1, 1]
    assert found.loc["ipo-1", "preference_accuracy"] == 0.6


def test_the_columns_of_means_are_declared_and_rows_stand_in_the_order_of_the_runs(runs):
    turned = runs.iloc[::-1]
    found = means(turned, ["kl", "preference_accuracy"])
    measured = [name + end for name in ("kl", "preference_accuracy") for end in ("", "_se", "_low", "_high")]
    assert list(found.columns) == [*SETTING, "control", "beta", "reward", "seeds", *measured]
    settings = list(dict.fromkeys(zip(turned["loss"], turned["beta"].fillna(0), strict=True)))
    assert list(zip(found["loss"], found["beta"].fillna(0), strict=True)) == settings
    assert found.index.tolist() == [0, 1, 2, 3]
    nothing = means(runs.assign(status="failed"), ["kl"])
    assert nothing.empty and list(nothing.columns) == [*SETTING, "control", "beta", "reward", "seeds", *measured[:4]]


def test_columns_that_older_runs_lack_are_missing_and_their_settings_told_by_the_others(runs):
    bare = runs.drop(columns=["trained_model", "trained_model_revision", "label_noise", "preference_accuracy_se"])
    found = means(bare, ["preference_accuracy"])
    assert found["label_noise"].isna().all() and found["preference_accuracy_se"].isna().all()
    assert found["preference_accuracy"].tolist() == means(runs, ["preference_accuracy"])["preference_accuracy"].tolist()
    without_seeds = means(bare.drop(columns="seed"), ["preference_accuracy"])
    assert without_seeds["seeds"].tolist() == found["seeds"].tolist()


def test_seeds_are_counted_and_not_cells(runs):
    again = pd.concat([runs, runs[runs["seed"] == 0]])
    found = means(again, ["preference_accuracy"])
    assert found["seeds"].tolist() == means(runs, ["preference_accuracy"])["seeds"].tolist()


def test_a_surface_keeps_the_order_of_the_runs_and_rows_that_do_not_say_whether_they_are_controls(runs):
    contenders = runs[runs["loss"] != "none"].sort_values("loss", ascending=False)
    found = surface(
        contenders.assign(control=pd.array([None] * len(contenders), dtype="boolean")), "preference_accuracy"
    )
    assert found["loss"].tolist() == ["ipo", "dpo", "dpo"]
