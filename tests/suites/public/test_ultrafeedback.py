"""The five forms of UltraFeedback: which answers are compared, their scores, and ties."""

import json

import pytest

import suites
from suites import SuiteError
from tests.suites.samples import SAMPLES, chat

FORMS = {sample.form: sample.rows for sample in SAMPLES if sample.suite == "ultrafeedback"}


def load(folder, rows, **settings):
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return suites.load("ultrafeedback", {"path": str(path), **settings})


@pytest.mark.parametrize("form", ["h4", "trl", "argilla"])
def test_scores_are_kept(form, tmp_path):
    row = load(tmp_path, FORMS[form]).rows[0]
    assert (row.chosen, row.rejected, row.score_chosen, row.score_rejected) == ("Yes, tea.", "No.", 9.0, 1.0)
    assert row.prompt[0].content == "Tea?"


def test_the_published_splits_of_h4_are_the_preference_ones(tmp_path):
    for name, asked in (("train_prefs", "Tea?"), ("test_prefs", "Milk?"), ("train_sft", "Other?")):
        row = {**FORMS["h4"][0], "chosen": chat(asked, "Yes."), "rejected": chat(asked, "No.")}
        (tmp_path / f"{name}-00000-of-00001.jsonl").write_text(json.dumps(row) + "\n")
    rows = suites.load("ultrafeedback", {"path": str(tmp_path)}).rows
    assert [row.id for row in rows] == ["train_prefs/0", "test_prefs/0"]
    assert rows[1].split == "test"
    assert rows[0].split in ("train", "validation")


def test_equal_scores_are_ties(tmp_path):
    tied = [{**row, "score_chosen": 5, "score_rejected": 5} for row in FORMS["h4"]]
    with pytest.raises(SuiteError, match="tie 2"):
        load(tmp_path, tied)
    kept = load(tmp_path, tied, ties="half")
    assert (len(kept.rows), dict(kept.dropped)) == (2, {})
    assert all(row.score_chosen == row.score_rejected == 5 for row in kept.rows)


def test_on_policy_sets_give_their_own_pair_or_any_of_their_rated_answers(tmp_path):
    rows = FORMS["princeton"]
    own = load(tmp_path, rows).rows
    assert [(row.chosen, row.score_chosen, row.score_rejected) for row in own][0] == ("Yes, tea.", 0.9, 0.1)
    assert [row.rejected for row in load(tmp_path, rows, answers="best_worst").rows] == ["No.", "Never."]
    every = load(tmp_path, rows, answers="all")
    assert (every.read, len(every.rows)) == (6, 6)
    assert [row.chosen for row in every.rows[:3]] == ["Yes, tea.", "Hm.", "Yes, tea."]


def test_the_first_published_form_prefers_the_mean_of_aspects(tmp_path):
    row = load(tmp_path, FORMS["openbmb"]).rows[0]
    assert (row.chosen, row.score_chosen, row.score_rejected) == ("Yes, tea.", 4.5, 1.0)


def test_wrong_settings_say_what_is_allowed(tmp_path):
    with pytest.raises(SuiteError, match="suite.answers=all: the form h4 keeps two answers a prompt"):
        load(tmp_path, FORMS["h4"], answers="all")
    with pytest.raises(SuiteError, match="suite.form=h5: allowed: h4, trl"):
        load(tmp_path, FORMS["h4"], form="h5")
    with pytest.raises(SuiteError, match=r"columns found: prompt.*chosen-rating, rejected-rating \(argilla\)"):
        load(tmp_path, FORMS["h4"], form="argilla")
