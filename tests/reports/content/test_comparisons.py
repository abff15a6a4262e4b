"""The text of comparisons: a line each, dashes where there is no claim."""

import pandas as pd
import pytest

import reports
from results.cells.frames import rows_frame
from results.schema.tables import COMPARISON_COLUMNS


def line(**given):
    row = {
        "protocol": "p1",
        "metric": "preference_accuracy",
        "a": "dpo",
        "b": "ipo",
        "seeds_a": 3,
        "seeds_b": 4,
        "value_a": 0.61,
        "value_b": 0.58,
        "difference": 0.03,
        "difference_se": 0.012,
        "difference_se_rows": 0.01,
        "low": -0.003,
        "high": 0.063,
        "clusters": 244,
        "degrees": 5,
        "p": 0.054,
        "p_holm": 0.108,
        "probability": 0.973,
        "detectable": 0.043,
        "verdict": "not distinguishable",
    }
    return row | given


NO_CLAIM = dict.fromkeys(("difference_se", "low", "high", "p", "p_holm", "probability", "detectable"))


def test_a_comparison_is_one_line_with_its_verdict():
    text = reports.comparison(rows_frame([line()], COMPARISON_COLUMNS))
    (shown,) = [row for row in text.splitlines() if row.startswith("dpo")]
    assert shown.split("  ")[0] == "dpo" and shown.endswith("not distinguishable")
    for value in ("3 / 4", "0.610", "0.580", "+0.030 ± 0.012", "-0.003 to +0.063", "0.043", "0.973", "0.108"):
        assert value in shown
    assert "preference_accuracy of held-out test rows in 244 clusters, protocol p1" in text
    assert "for the 1 comparison tested here" in text and "fewer than 3 seeds" not in text


def test_without_a_claim_there_are_dashes_and_a_note():
    unclaimed = line(**NO_CLAIM, verdict="1 seed: no claim", seeds_a=1)
    frame = rows_frame([unclaimed, line(protocol="p2")], COMPARISON_COLUMNS)
    text = reports.comparison(frame)
    first = next(row for row in text.splitlines() if row.startswith("dpo"))
    assert first.endswith("1 seed: no claim") and first.count("–") == 4 and "±" not in first
    assert "fewer than 3 seeds" in text and text.count("protocol p") == 2
    assert "1 comparison tested here, each protocol by itself" in " ".join(text.split())


def test_a_metric_that_was_not_measured_is_not_blamed_on_seeds():
    unmeasured = line(**NO_CLAIM, difference=None, verdict="not measured: no claim")
    text = reports.comparison(rows_frame([unmeasured], COMPARISON_COLUMNS))
    assert "not measured: no claim" in text and "fewer than 3 seeds" not in text


def test_control_characters_of_names_are_shown_and_not_sent():
    text = reports.comparison(rows_frame([line(a="dpo\x1b[31m")], COMPARISON_COLUMNS))
    assert "\x1b" not in text


def test_another_frame_is_refused():
    with pytest.raises(ValueError, match="Columns missing from the comparisons: protocol, metric"):
        reports.comparison(pd.DataFrame({"a": [1]}))
