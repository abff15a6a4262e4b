"""Win-rates against values derived by hand and against populations whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from results.metrics import win_rates
from results.schema.row import RUN_METRIC_COLUMNS, names

NAN = math.nan


def table(preference, **columns) -> pd.DataFrame:
    """A verdict table; every row is its own prompt and cluster unless given otherwise."""
    ids = [f"p{place}" for place in range(len(preference))]
    return pd.DataFrame(
        {"prompt_id": ids, "cluster_id": ids, "judge": "toy", "baseline": "reference", "preference": preference}
        | columns
    )


def test_ties_count_one_half_and_invalid_verdicts_nothing():
    found = win_rates.win_rate(table([1, 1, 0, 0.5, NAN]))
    assert found.value == (1 + 1 + 0 + 0.5) / 4
    assert (found.prompts, found.clusters, found.ties, found.invalid) == (4, 4, 1, 1)
    # Deviations 3/8, 3/8, -5/8, -1/8 around 5/8.
    assert found.se == pytest.approx(math.sqrt((9 + 9 + 25 + 1) / 64 / 3 / 4))
    reach = stats.t.ppf(0.975, 3) * found.se
    assert (found.low, found.high) == (max(0, found.value - reach), min(1, found.value + reach))
    many = win_rates.win_rate(table([1, 0, 1, 0, 1, 0, 1, 0]))
    reach = stats.t.ppf(0.975, 7) * many.se
    assert (many.low, many.high) == pytest.approx((0.5 - reach, 0.5 + reach)) and 0 < many.low


def test_a_tie_may_count_as_a_win():
    assert win_rates.win_rate(table([1, 0.5, 0, 0]), ties=1.0).value == 0.5


def test_ties_as_losses_divide_the_wins_by_all_comparisons():
    assert win_rates.win_rate(table([1, 1, 0, 0.5]), ties=0.0).value == 2 / 4
    with pytest.raises(ValueError, match="ties is 2; allowed is a share from 0 to 1"):
        win_rates.win_rate(table([1]), ties=2)


def test_a_prompt_with_several_samples_counts_once():
    judged = table([1, 1, 1, 0], prompt_id=["a", "a", "a", "b"])
    found = win_rates.win_rate(judged)
    assert found.value == 0.5 and found.prompts == 2


def test_rows_of_one_cluster_are_one_observation():
    judged = table([1, 1, 0, 0], cluster_id=["x", "x", "y", "y"])
    # Cluster sums of deviations 1 and -1 over 4 rows, two clusters: factor 2.
    assert win_rates.win_rate(judged).se == pytest.approx(math.sqrt(2 * 2 / 16))
    assert math.isnan(win_rates.win_rate(judged.drop(columns="cluster_id")).se)


def test_a_table_with_preferences_alone_has_a_win_rate_and_no_error():
    found = win_rates.win_rate(pd.DataFrame({"preference": [1.0, 0.0, 1.0]}))
    assert found.value == pytest.approx(2 / 3) and found.clusters == 0
    assert all(map(math.isnan, (found.se, found.low, found.high)))
    bare = pd.DataFrame({"preference": [1.0, 0.0]})
    assert all(map(math.isnan, win_rates.win_rate_length_controlled(bare)))
    assert all(map(math.isnan, win_rates.length_agreement(bare)))
    told = win_rates.measure(bare)
    assert told["judge"] is None and told["win_rate_baseline"] is None
    assert win_rates.measure(bare.assign(judge=None))["judge"] is None


def test_tables_that_cannot_be_measured_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="lacks preference; found: wins, ties.$"):
        win_rates.win_rate(pd.DataFrame({"wins": [1], "ties": [0]}))
    with pytest.raises(ValueError, match="lacks preference; found: no columns.$"):
        win_rates.win_rate(pd.DataFrame())
    for name in ("cell", "judge", "baseline"):
        with pytest.raises(ValueError, match=rf"mixes 2 values of {name} \(a, b\)"):
            win_rates.win_rate(table([1, 0], **{name: ["a", "b"]}))
    with pytest.raises(ValueError, match=r"mixes 6 values of cell \(a, b, c, d, e\);"):
        win_rates.win_rate(table([1] * 6, cell=list("abcdef")))
    allowed = r"0 \(loss\) to 1 \(win\), 0.5 a tie, missing where the verdict is invalid.$"
    with pytest.raises(ValueError, match=f"preference is 2 in row 1; allowed are {allowed}"):
        win_rates.win_rate(table([1, 2]))


@pytest.mark.filterwarnings("error")
def test_of_no_verdicts_there_are_no_shares():
    nothing = table([]).astype({"preference": float}).assign(consistent=pd.array([], dtype="boolean"))
    for share in (win_rates.tie_share, win_rates.invalid_share, win_rates.position_consistency):
        assert math.isnan(share(nothing))


def test_shares_of_ties_invalid_verdicts_and_consistent_ones():
    judged = table([1, 0.5, NAN, 0], consistent=pd.array([True, False, pd.NA, True], dtype="boolean"))
    assert win_rates.tie_share(judged) == pytest.approx(1 / 3)
    assert win_rates.invalid_share(judged) == 0.25
    assert win_rates.position_consistency(judged) == pytest.approx(2 / 3)
    assert math.isnan(win_rates.position_consistency(table([1, 0])))


def test_agreement_with_length_by_hand():
    # Longer and wins; shorter and wins; longer and ties; equal lengths and invalid rows take no part.
    judged = table([1, 1, 0.5, 1, NAN], policy_tokens=[9, 1, 9, 5, 9], baseline_tokens=[5, 5, 5, 5, 5])
    assert win_rates.length_agreement(judged).value == pytest.approx((1 + 0 + 0.5) / 3)
    assert win_rates.length_agreement(judged).se == pytest.approx(math.sqrt((0.5**2 + 0.5**2) / 2 / 3))
    by_one = table([1, 0], policy_tokens=[6, 4], baseline_tokens=[5, 5])
    assert win_rates.length_agreement(by_one).value == 1
    assert math.isnan(win_rates.length_agreement(by_one.drop(columns="cluster_id")).se)


def drawn(prompts, quality, per_sd, seed, longer=0.0):
    """Verdicts of a judge that adds `per_sd` logits for length to a policy worth `quality` logits."""
    random = np.random.default_rng(seed)
    difference = random.normal(longer, 50, prompts).round()
    chance = 1 / (1 + np.exp(-(quality + per_sd * np.tanh(difference / difference.std(ddof=1)))))
    return table(
        (random.random(prompts) < chance).astype(float),
        policy_tokens=200 + difference,
        baseline_tokens=np.full(prompts, 200.0),
    )


def test_length_control_recovers_the_win_rate_at_equal_length():
    truth = 1 / (1 + math.exp(-0.4))
    judged = drawn(20_000, 0.4, 1.5, seed=0, longer=60)
    found = win_rates.win_rate_length_controlled(judged)
    assert win_rates.win_rate(judged).value > truth + 0.1
    assert found.value == pytest.approx(truth, abs=3 * found.se) and found.se < 0.01
    assert found.length_coefficient == pytest.approx(1.5, abs=0.15)


def test_the_interval_of_the_length_controlled_rate_covers_the_truth():
    truth, inside = 1 / (1 + math.exp(-0.3)), 0
    for seed in range(200):
        found = win_rates.win_rate_length_controlled(drawn(250, 0.3, 1.0, seed=seed, longer=20))
        inside += abs(found.value - truth) < 1.96 * found.se
    assert 0.91 < inside / 200 < 0.98


def test_the_fit_is_the_maximum_of_the_likelihood():
    judged = drawn(400, -0.5, 0.8, seed=3)
    x = np.tanh((judged["policy_tokens"] - 200) / (judged["policy_tokens"] - 200).std())
    y = judged["preference"].to_numpy()

    def deviance(w):
        return np.sum(np.logaddexp(0, w[0] + w[1] * x) - y * (w[0] + w[1] * x))

    best = optimize.minimize(deviance, [0, 0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}).x
    found = win_rates.win_rate_length_controlled(judged)
    assert found.value == pytest.approx(1 / (1 + math.exp(-best[0])), abs=1e-4)
    assert found.length_coefficient == pytest.approx(best[1], abs=1e-3)


def test_a_judge_that_only_measures_length_leaves_one_half_at_equal_length():
    difference = np.array([-30, -20, -10, 10, 20, 30] * 20)
    judged = table((difference > 0).astype(float), policy_tokens=100 + difference, baseline_tokens=[100] * 120)
    found = win_rates.win_rate_length_controlled(judged)
    assert found.value == pytest.approx(0.5, abs=1e-6) and math.isfinite(found.se)
    assert win_rates.length_agreement(judged).value == 1


def test_difficulty_is_an_offset_and_the_rate_a_mean_over_prompts():
    judged = table([1, 0, 1, 0] * 50, policy_tokens=[10] * 200, baseline_tokens=[10] * 200)
    difficulty = {f"p{place}": (1.0 if place % 2 == 0 else -1.0) for place in range(200)}
    # No length term is left; w = 0 solves sum(y - sigma(w + offset)) = 0 by symmetry.
    assert win_rates.win_rate_length_controlled(judged, difficulty).value == pytest.approx(0.5)
    said = "199 prompts have no difficulty, first 'p1'; give one, in logits, for each prompt_id, or none at all.$"
    with pytest.raises(ValueError, match=said):
        win_rates.win_rate_length_controlled(judged, {"p0": 0.0})
    with pytest.raises(ValueError, match="2 prompts have no difficulty, first 'z'"):
        win_rates.win_rate_length_controlled(table([1, 0], prompt_id=["z", "a"]), {})


def test_the_rate_of_prompts_of_known_difficulty_and_its_error_by_hand():
    y, offset = np.array([1.0, 1.0, 0.0, 1.0]), np.array([2.0, 0.0, -1.0, 0.5])
    judged = table(y, policy_tokens=[7] * 4, baseline_tokens=[7] * 4)

    def p(w):
        return 1 / (1 + np.exp(-(w + offset)))

    w = optimize.brentq(lambda w: np.sum(y - p(w)) - win_rates.RIDGE * w, -5, 5, xtol=1e-13)
    rate, weight = p(w), p(w) * (1 - p(w))
    found = win_rates.win_rate_length_controlled(judged, dict(zip(judged["prompt_id"], offset, strict=True)))
    assert found.value == pytest.approx(rate.mean()) and found.length_coefficient == 0
    # What the fit does not know, and which prompts were drawn; two coefficients of four rows: factor 4/3 * 3/2.
    influence = (y - rate) * weight.mean() / (weight.sum() + win_rates.RIDGE) + (rate - rate.mean()) / 4
    assert found.se == pytest.approx(math.sqrt(2 * np.sum(influence**2)))


def test_the_ridge_and_an_offset_enter_the_maximum():
    design, y, offset = (
        np.array([[1.0, 0.5], [1.0, -2.0], [1.0, 1.0]]),
        np.array([1.0, 0.3, 0.0]),
        np.array([1, -1, 2.0]),
    )

    def cost(w):
        logits = design @ w + offset
        return np.sum(np.logaddexp(0, logits) - y * logits) + 2.0 / 2 * w @ w

    best = optimize.minimize(cost, [0, 0], method="BFGS", options={"gtol": 1e-9}).x
    assert win_rates.fit_logistic(design, y, offset, ridge=2.0) == pytest.approx(best, abs=1e-6)


def test_a_prompt_with_a_length_that_is_not_known_leaves_nothing_to_say_about_length():
    judged = table([1, 0, 1], prompt_id=["a", "a", "b"], policy_tokens=[5, NAN, 7], baseline_tokens=[4, 4, 4])
    assert all(map(math.isnan, win_rates.win_rate_length_controlled(judged)))


def test_the_feature_of_length_by_hand():
    assert win_rates.length_feature(np.array([0.0, 0.5])) == pytest.approx(np.tanh([0, math.sqrt(2)]))
    assert win_rates.length_feature(np.array([0.0])).tolist() == [0.0]
    for nothing in ([], [1.0, NAN], [3.0, 3.0]):
        assert win_rates.length_feature(np.array(nothing)) is None


def test_equal_lengths_change_nothing_and_one_constant_difference_is_missing():
    equal = table([1, 1, 0, 1], policy_tokens=[7] * 4, baseline_tokens=[7] * 4)
    assert win_rates.win_rate_length_controlled(equal).value == pytest.approx(0.75, abs=1e-3)
    assert math.isnan(win_rates.win_rate_length_controlled(equal.assign(policy_tokens=9)).value)
    assert win_rates.win_rate_length_controlled(equal.head(2)).value > 0.99


def test_a_policy_that_always_wins_has_finite_numbers():
    judged = table([1.0] * 50, policy_tokens=range(50), baseline_tokens=[20] * 50)
    found = win_rates.win_rate_length_controlled(judged)
    assert found.value > 0.99 and math.isfinite(found.se)


def test_measure_fills_declared_row_columns():
    found = win_rates.measure(drawn(50, 0.0, 0.5, seed=1))
    assert set(found) <= set(names(RUN_METRIC_COLUMNS))
    assert found["judge"] == "toy" and found["win_rate_baseline"] == "reference" and found["judged_prompts"] == 50


def test_no_valid_verdict_gives_missing_values():
    found = win_rates.measure(table([NAN, NAN], policy_tokens=[1, 2], baseline_tokens=[2, 2]))
    assert math.isnan(found["win_rate"]) and math.isnan(found["win_rate_length_controlled"])
    assert found["invalid_share"] == 1 and found["judged_prompts"] == 0
