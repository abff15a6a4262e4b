"""SHP: label 1 prefers A, and weak majorities can be left out."""

import json

import pytest

import suites
from suites import SuiteError
from tests.suites.samples import SAMPLES

ROWS = next(sample.rows for sample in SAMPLES if sample.suite == "shp")


@pytest.fixture
def folder(tmp_path):
    for name, splits in (("askbaking", ("train", "test")), ("askvet", ("test",))):
        (tmp_path / name).mkdir()
        for split in splits:
            rows = [{**row, "history": f"{name} {split} {row['history']}"} for row in ROWS]
            (tmp_path / name / f"{split}.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_label_one_prefers_a_and_zero_b(folder):
    first, second = suites.load("shp", {"path": str(folder), "subset": "askvet"}).rows
    assert (first.chosen, first.score_chosen, first.score_rejected) == (ROWS[0]["human_ref_A"], 30, 10)  # labels 1
    assert (second.chosen, second.score_chosen, second.score_rejected) == (ROWS[1]["human_ref_B"], 15, 10)  # labels 0


def test_subreddits_are_folders_and_ids_name_them(folder):
    rows = suites.load("shp", {"path": str(folder)}).rows
    assert [row.id for row in rows][::2] == ["askbaking/train/0", "askbaking/test/0", "askvet/test/0"]
    inside = suites.load("shp", {"path": str(folder / "askvet")}).rows
    assert [row.id for row in inside] == ["askvet/test/0", "askvet/test/1"]
    with pytest.raises(SuiteError, match="suite.subset=askdogs: allowed: askacademia"):
        suites.load("shp", {"subset": "askdogs"})
    with pytest.raises(SuiteError, match="no subset askdogs there .*found: askbaking/test.json"):
        suites.load("shp", {"path": str(folder), "subset": "askdogs"})


def test_weak_majorities_are_dropped_and_counted(folder):
    suite = suites.load("shp", {"path": str(folder), "subset": "askvet", "min_ratio": "2"})
    assert (len(suite.rows), dict(suite.dropped)) == (1, {"below_min_ratio": 1})
    with pytest.raises(SuiteError, match="suite.min_ratio 'two' is not a finite number"):
        suites.load("shp", {"path": str(folder), "min_ratio": "two"})
