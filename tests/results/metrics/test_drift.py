"""Drifts by side and by position, and what they go with, by hand."""

import math

import pytest

from results import metrics

FIRST = (
    "policy_chosen_logp_first",
    "policy_rejected_logp_first",
    "reference_chosen_logp_first",
    "reference_rejected_logp_first",
)


def test_drift_by_position_by_hand(pair_table):
    # a = 4, of it 1 in the first 10 of 12 tokens; d = -6, of it -5 in the first 10 of 14; then 4 and 2 tokens.
    pairs = pair_table([(-6, -16, -10, -10, 12, 14), (-2, -3, -4, -4, 4, 2)])
    pairs[list(FIRST)] = [[-8, -12, -9, -7], [-2, -3, -4, -4]]
    assert metrics.chosen_logp_drift_first(pairs) == pytest.approx((1 / 10 + 2 / 4) / 2)
    assert metrics.chosen_logp_drift_rest(pairs) == pytest.approx(3 / 2)
    assert metrics.rejected_logp_drift_first(pairs) == pytest.approx((-5 / 10 + 1 / 2) / 2)
    assert metrics.rejected_logp_drift_rest(pairs) == pytest.approx(-1 / 4)
    start = metrics.measure(
        pairs.assign(policy_chosen_logp=[-10, -4], policy_chosen_logp_first=[-9, -4]),
        reward=None,
        beta=None,
        noise_floor=0.0,
    )
    assert start["chosen_logp_drift_first"] == start["chosen_logp_drift_rest"] == 0


def test_the_drift_by_position_has_an_error_over_clusters_and_leaves_out_what_is_not_known(pair_table):
    # a/n in the first 10 tokens: 0.1, 0.5, 0.3; the fourth answer's are not known. Of 10 tokens nothing is left.
    pairs = pair_table([(-6, -9, -10, -9, n, 5) for n in (12, 2, 10, 14)])
    pairs[list(FIRST)] = [[-8, -9, -9, -9], [-9, -9, -10, -9], [-7, -9, -10, -9], [math.nan] * 4]
    first = metrics.estimate("chosen_logp_drift_first", pairs)
    assert first.value == pytest.approx(0.3) and first.se == pytest.approx(math.sqrt((0.2**2 + 0.2**2) / 2 / 3))
    rest = metrics.estimate("chosen_logp_drift_rest", pairs)
    assert rest.value == pytest.approx(3 / 2) and math.isnan(rest.se)  # the first answer alone
    longer = metrics.estimate("chosen_logp_drift_rest", pairs.assign(chosen_tokens=[12, 12, 14, 14]))
    assert longer.value == pytest.approx((3 / 2 + 3 / 2 + 1 / 4) / 3)
    assert longer.se == pytest.approx(math.sqrt(((5 / 12) ** 2 * 2 + (10 / 12) ** 2) / 2 / 3))
    bare = pairs.drop(columns="cluster_id")
    assert metrics.chosen_logp_drift_first(bare) == pytest.approx(0.3)
    assert math.isnan(metrics.estimate("chosen_logp_drift_rest", bare.assign(chosen_tokens=20)).se)


def test_displacement_goes_with_similarity_where_alike_answers_fall(pair_table):
    falls = (-1, -2, -3, 4)
    pairs = pair_table([(-10 + a, -20, -10, -10, 5, 5) for a in falls]).assign(edit_similarity=[0.2, 0.5, 0.9, 0.1])
    assert metrics.displacement_similarity(pairs) == pytest.approx(1)
    assert metrics.displacement_similarity(pairs.assign(edit_similarity=[0.9, 0.5, 0.2, 1.0])) == pytest.approx(-1)
    without = pairs.assign(edit_similarity=[0.9, 0.5, 0.2, math.nan])
    assert metrics.displacement_similarity(without) == pytest.approx(-1)


@pytest.mark.filterwarnings("error")
def test_unpaired_rows_count_in_the_drifts_of_their_side_only(pair_table):
    nothing = math.nan
    pairs = pair_table(
        [
            (-8, -9, -10, -10, 2, 4),  # a = 2, d = 1
            (-6, nothing, -10, nothing, 4, nothing),  # a = 4
            (nothing, -15, nothing, -10, nothing, 5),  # d = -5
        ]
    )
    assert metrics.preference_accuracy(pairs) == 1 and metrics.n(pairs) == 1
    assert metrics.chosen_logp_drift(pairs) == 3
    assert metrics.rejected_logp_drift(pairs) == -2
    assert metrics.rejected_logp_drift_per_token(pairs) == pytest.approx((0.25 - 1) / 2)
    only_unpaired = metrics.measure(pairs.iloc[1:], reward="log_ratio", beta=0.1, noise_floor=0.0)
    assert math.isnan(only_unpaired["preference_accuracy"]) and only_unpaired["chosen_logp_drift"] == 4


def test_a_chosen_completion_that_became_less_likely_is_counted(pair_table):
    pairs = pair_table([(-10 + a, -10 + d, -10, -10, 2, 4) for a, d in ((-1, -2), (0, 0), (3, 1), (-1, 5))])
    assert metrics.displaced_fraction(pairs) == 0.5
    assert metrics.chosen_logp_drift(pairs) == 0.25 and metrics.rejected_logp_drift(pairs) == 1.0
    assert metrics.chosen_logp_drift_per_token(pairs) == 0.125 and metrics.rejected_logp_drift_per_token(pairs) == 0.25


def test_hidden_states_are_read_from_their_own_column_alone(pair_table):
    pairs = pair_table([(-10 + a, -20, -10, -10, 5, 5) for a in (-1, -2, -3)]).assign(ches_normalized=[3.0, 2.0, 1.0])
    assert metrics.displacement_ches(pairs) == pytest.approx(-1)
    assert math.isnan(metrics.displacement_similarity(pairs))
