"""Reward against KL: what is not beaten, and the gain at equal KL, by hand."""

import math

import numpy as np
import pandas as pd
import pytest

import results
from results.inference import frontiers
from results.inference.frontiers import frontier, matched, points
from results.inference.settings import means
from results.schema.row import KNOBS


@pytest.fixture
def cells(stored):
    """cells({"dpo": [(kl, gain), ...]}): a frame of such cells, a setting each; a third number is the gain's error."""

    def write(given, **more):
        for loss, values in given.items():
            for place, (kl, gain, *error) in enumerate(values):
                folder = stored(
                    loss,
                    f"{loss}{place}",
                    beta=0.1 + place,
                    lr=1e-5,
                    seed=0,
                    control=loss == "sft",
                    hyperparameters={"beta": 0.1 + place},
                    kl=kl,
                    kl_se=0.1,
                    gold_reward_gain=gain,
                    gold_reward_gain_se=error[0] if error else 0.3,
                    **more,
                )
        return results.read(folder.parent)

    return write


def test_a_setting_is_on_the_frontier_where_none_of_its_loss_has_more_for_less(cells):
    runs = cells({"dpo": [(1.0, 0.5), (2.0, 0.4), (3.0, 0.9), (0.5, -0.1), (3.0, 0.8)], "sft": [(0.1, 9.0)]})
    assert frontier(runs)[["kl", "gold_reward_gain"]].to_numpy().tolist() == [[1.0, 0.5], [3.0, 0.9]]
    found = points(runs)
    assert found["on_frontier"].tolist() == [True, False, True, False, False]
    columns = [*means(runs, ["kl", "gold_reward_gain"]).columns, "on_frontier"]
    assert list(found.columns) == list(frontier(runs).columns) == columns
    assert found.index.tolist() == [0, 1, 2, 3, 4] and frontier(runs).index.tolist() == [0, 1]


def test_a_setting_that_pays_more_for_the_same_is_not_on_the_frontier(cells):
    assert points(cells({"dpo": [(1.0, 0.5), (2.0, 0.5)]}))["on_frontier"].tolist() == [True, False]


def test_rows_that_do_not_say_whether_they_are_controls_are_none(cells):
    runs = cells({"dpo": [(1.0, 0.5)]})
    assert len(points(runs.assign(control=pd.array([None], dtype="boolean")))) == 1


def test_where_the_start_is_not_known_a_frontier_begins_at_its_first_setting(cells):
    runs = cells({"ipo": [(4.0, 0, 0.0), (8.0, 0, 0.0)], "dpo": [(0.5, 0, 0.0), (1.0, 0, 0.0), (2.0, 0, 0.0)]})
    accuracy = {"ipo": [0.8, 0.9], "dpo": [0.6, 0.7, 0.65]}
    for loss, values in accuracy.items():
        runs.loc[runs["loss"] == loss, "preference_accuracy"] = values
    runs = runs.assign(preference_accuracy_se=[0.01 * (1 + place) for place in range(len(runs))])
    error = runs.set_index("cell")["preference_accuracy_se"]
    found = matched(runs, y="preference_accuracy", at=[0.4, 0.5, 0.75, 2.0])
    of = found.groupby("loss")[["value", "se"]].agg(list)
    assert of.loc["dpo", "value"] == pytest.approx([math.nan, 0.6, 0.65, 0.7], nan_ok=True)
    middle = math.hypot(error["dpo0"], error["dpo1"]) / 2
    assert of.loc["dpo", "se"] == pytest.approx([math.nan, error["dpo0"], middle, error["dpo1"]], nan_ok=True)
    best = frontier(runs, y="preference_accuracy")
    assert best["preference_accuracy"].tolist() == [0.6, 0.7, 0.8, 0.9]  # by loss and growing x


def test_losses_stand_in_the_order_of_the_runs(cells):
    runs = cells({"dpo": [(2.0, 1.0)], "ipo": [(2.0, 1.0)]})
    turned = pd.concat([runs[runs["loss"] == "ipo"], runs[runs["loss"] == "dpo"]])
    both = pd.concat([turned.assign(protocol="z"), turned.assign(protocol="a")])
    found = matched(both, at=[1.0])
    assert list(zip(found["protocol"], found["loss"], strict=True)) == [
        ("z", "ipo"),
        ("z", "dpo"),
        ("a", "ipo"),
        ("a", "dpo"),
    ]


def test_at_no_distance_everything_is_the_reference(cells):
    found = matched(cells({"dpo": [(0.5, 1.0, 0.2), (2.0, 3.0, 0.4), (9.0, 2.0, 0.8)]}), at=[0.0, 0.25, 8.0])
    assert found["value"].tolist() == pytest.approx([0.0, 0.5, 3.0])
    assert found["se"].tolist() == pytest.approx([0.0, 0.1, 0.4])  # past the frontier's last setting, its own


@pytest.mark.parametrize(
    ("reached", "prices"),
    [
        ([4.0], [4.0]),
        ([0.0, 8.0, 4.0], [1.0, 2.0, 4.0]),
        ([0.5, 2.0, 8.0], [0.125, 0.25, 0.5, 2.0]),
        ([1.0, 1.1, 5.0], [0.25, 0.5, 1.0]),  # 1.1 is as good as 1
    ],
)
def test_prices_are_shares_of_what_all_losses_reached_and_what_two_did(reached, prices):
    assert frontiers._shared_prices(pd.Series(reached)) == prices


def test_without_known_points_nothing_is_between():
    assert all(map(math.isnan, frontiers._between(np.empty((0, 3)), 1.0)))


def test_gain_at_equal_kl_is_interpolated_from_the_reference_on(cells):
    runs = cells({"dpo": [(2.0, 1.0), (4.0, 2.0)], "ipo": [(8.0, 2.0)]})
    found = matched(runs, at=[1.0, 3.0, 4.0, 5.0])
    of = {loss: same["value"].tolist() for loss, same in found.groupby("loss")}
    assert of["dpo"][:3] == pytest.approx([0.5, 1.5, 2.0]) and math.isnan(of["dpo"][3])  # dpo never went to 5
    assert of["ipo"] == pytest.approx([0.25, 0.75, 1.0, 1.25])
    errors = found.loc[found["loss"] == "dpo", "se"].tolist()
    assert errors[:3] == pytest.approx([0.15, 0.3 * math.hypot(0.5, 0.5), 0.3])  # the reference has no error


def test_past_its_best_setting_a_loss_keeps_its_gain_up_to_where_it_went(cells):
    runs = cells({"dpo": [(2.0, 1.0), (6.0, 0.2)], "ipo": [(6.0, 0.5)]})
    found = matched(runs, at=[5.0])
    assert found["value"].tolist() == pytest.approx([1.0, 0.5 * 5 / 6])
    assert found["settings"].tolist() == [2, 1]


def test_without_values_of_kl_those_are_taken_that_losses_share(cells):
    found = matched(cells({"dpo": [(4.0, 1.0)], "ipo": [(8.0, 1.0)], "kto": [(20.0, 1.0)]}))
    assert sorted(set(found["at"])) == [1.0, 2.0, 4.0, 8.0]
    known = found.pivot(index="loss", columns="at", values="value").notna()
    assert known[8.0].to_dict() == {"dpo": False, "ipo": True, "kto": True}


def test_win_rates_start_at_one_half(stored):
    folder = stored(
        "dpo",
        "d",
        beta=0.1,
        lr=1e-5,
        seed=0,
        control=False,
        hyperparameters={"beta": 0.1},
        kl=2.0,
        win_rate=0.7,
        win_rate_se=0.05,
    )
    assert matched(results.read(folder.parent), y="win_rate", at=[1.0])["value"].tolist() == pytest.approx([0.6])


def test_seeds_are_averaged_before_anything_is_compared(stored):
    for seed, kl, gain in ((0, 1.0, 0.5), (1, 3.0, 1.5)):
        folder = stored(
            "dpo",
            f"d{seed}",
            beta=0.1,
            lr=1e-5,
            seed=seed,
            control=False,
            hyperparameters={"beta": 0.1},
            kl=kl,
            gold_reward_gain=gain,
            gold_reward_gain_se=0.1,
        )
    assert points(results.read(folder.parent))[["kl", "gold_reward_gain"]].to_numpy().tolist() == [[2.0, 1.0]]


def test_rows_without_generated_answers_give_no_points(stored):
    runs = results.read(stored("dpo", "d", control=False).parent)
    assert points(runs).empty and matched(runs).empty and frontier(runs).empty
    columns = ["protocol", "loss", *KNOBS, "settings", "at", "value", "se"]
    assert list(matched(runs).columns) == columns


def test_an_unknown_column_is_named(stored):
    runs = results.read(stored("dpo", "d", control=False).parent)
    with pytest.raises(ValueError, match="The runs lack reward, reward_se; use results.read"):
        points(runs.drop(columns="reward"), y="reward")
