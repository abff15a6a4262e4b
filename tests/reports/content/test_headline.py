"""The table that comes first: one row a setting, its interval, and what may be the best."""

import re

import pytest

import results
from reports.content import headline, tables
from reports.content.evidence import read_evidence


def test_an_interval_over_few_clusters_is_students(make) -> None:
    runs = make.frame(make.cell("dpo", preference_accuracy=0.6, preference_accuracy_se=0.1, n_clusters=5))
    (protocol,) = tables.protocols(runs)
    (text,) = headline.table(protocol, {})["interval"]
    assert text == "0.322 to 0.878"  # 0.6 -+ 2.776 * 0.1


def test_an_interval_of_an_accuracy_ends_at_one(make) -> None:
    runs = make.frame(make.cell("dpo", preference_accuracy=0.95, preference_accuracy_se=0.1, n_clusters=5))
    (protocol,) = tables.protocols(runs)
    assert list(headline.table(protocol, {})["interval"]) == ["0.672 to 1.000"]


def test_the_table_averages_seeds_and_marks_all_that_may_be_best(tested_runs) -> None:
    runs = results.read(tested_runs)
    (protocol,) = tables.protocols(runs)
    shown = headline.table(protocol, headline.standings(protocol, read_evidence(tested_runs, runs))).set_index("loss")
    assert list(shown["seeds"]) == [3, 3, 3]
    means = runs.groupby("loss")["preference_accuracy"].mean()
    assert shown["preference_accuracy"].to_dict() == pytest.approx(means.to_dict())
    assert [("preference_accuracy" in shown["best"][loss]) for loss in ("dpo", "ipo", "kto")] == [True, True, False]
    assert all(re.fullmatch(r"0\.\d{3} to 0\.\d{3}", text) for text in shown["interval"])
