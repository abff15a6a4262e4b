"""A finished row that lacks a metric is read with it, from the tables beside it."""

import json
import math
import warnings

import pandas as pd
import pytest

import results
from results import metrics
from results.cells import completed, store
from results.metrics import answers
from results.metrics.row import derived
from results.schema.from_tables import FROM_ANSWERS, FROM_CURVE, FROM_PAIRS, FROM_SOME_ANSWERS, FROM_START
from results.schema.from_tables import FROM_VALIDATION as OF_VALIDATION

KNOWN = {"reward": "log_ratio", "noise_floor": 0.5}


def answered(*texts, logp=-3.0) -> pd.DataFrame:
    """Answers to as many prompts, with a gold reward that is their length."""
    return pd.DataFrame(
        {
            "prompt_id": [str(place) for place in range(len(texts))],
            "cluster_id": [str(place) for place in range(len(texts))],
            "sample": 0,
            "prompt": "?",
            "answer": texts,
            "tokens": [len(text) for text in texts],
            "truncated": False,
            "logp": logp,
            "reference_logp": -5.0,
            "gold_reward": [float(len(text)) for text in texts],
        }
    )


@pytest.fixture
def tables(four_pairs, pair_table):
    """A later round's evaluations: before its first update, after its last, and of the validation rows."""
    begun = pair_table([(-4.0, -7.0, -5.0, -5.0, 2, 2)], step=0)
    validation = pair_table([(-4.0, -6.0, -5.0, -5.0, 2, 2)], split="validation")
    return pd.concat([begun, four_pairs, validation], ignore_index=True)


@pytest.fixture
def runs(tmp_path, stored, tables, four_pairs, curve_table):
    """A trained cell with all that its tables give, and the control that answered the same prompts."""
    curve = curve_table(3)
    given = {"protocol": "p", "generation": "g", "hyperparameters": '{"beta": 0.1}', **KNOWN}
    ours, theirs = answered("one two three", "four five"), answered("one", "four", logp=-5.0)
    whole = derived(tables, curve, reward="log_ratio", beta=0.1, noise_floor=0.5)
    whole |= answers.measure(ours, theirs, exact=True)
    trained = stored("dpo", "c1", pairs=tables, curve=curve, round=2, validation_pairs=1, **given, **whole)
    untrained = derived(four_pairs.assign(step=0), None, reward="log_ratio", beta=0.1, noise_floor=0.5)
    untrained |= answers.measure(theirs, theirs, exact=True)
    control = stored("none", "c2", pairs=four_pairs.assign(step=0), **given, **untrained)
    for folder, table in ((trained, ours), (control, theirs)):
        store.add_measurement(folder, {}, {store.GENERATIONS: answers.json_lines(table)})
    return tmp_path / "runs"


def without(runs, *names) -> None:
    """Takes columns out of the trained cell's row; its digests of its siblings stay true."""
    path = next(runs.glob("*/dpo-c1/row.json"))
    row = json.loads(path.read_text())
    assert set(names) <= row.keys()
    path.write_text(json.dumps({name: value for name, value in row.items() if name not in names}))
    assert store.is_done(path.parent)


EVERY = sorted(FROM_PAIRS | OF_VALIDATION | FROM_START | FROM_CURVE | FROM_ANSWERS | FROM_SOME_ANSWERS)


@pytest.mark.parametrize(
    "name",
    ["n", "margin", "steps", "margin_at_start", "clipped_fraction", "generated_tokens", "kl", "gold_reward_gain"],
)
def test_a_metric_taken_out_of_a_row_is_read_back_equal(runs, name):
    before = results.read(runs)
    without(runs, name)
    pd.testing.assert_frame_equal(results.read(runs), before, check_exact=True)


def test_all_metrics_taken_out_are_read_back_equal(runs):
    before = results.read(runs)
    without(runs, *EVERY)
    pd.testing.assert_frame_equal(results.read(runs), before, check_exact=True)


def test_a_cell_that_is_read_alone_finds_the_references_answers_beside_it(runs):
    before = results.read(runs).set_index("loss")
    without(runs, "length_ratio")
    assert results.read(runs / "toy" / "dpo-c1")["length_ratio"][0] == before.loc["dpo", "length_ratio"]


def test_the_names_are_those_that_the_tables_give(tables, curve_table):
    found = derived(tables, curve_table(3), reward=None, beta=None, noise_floor=0.0)
    assert found.keys() == FROM_PAIRS | OF_VALIDATION | FROM_START | FROM_CURVE
    answer = answered("a b c")
    assert answers.measure(answer, answer, exact=True).keys() == FROM_ANSWERS | FROM_SOME_ANSWERS
    bare = answer.drop(columns="gold_reward")
    assert answers.measure(bare, bare, exact=False).keys() == FROM_ANSWERS


def test_where_nothing_is_missing_no_table_is_opened(runs, monkeypatch):
    monkeypatch.setattr(completed, "_joined", lambda *_: pytest.fail("a table was opened"))
    assert len(results.read(runs)) == 2


def test_what_a_row_holds_is_never_replaced(stored, four_pairs):
    folder = stored("dpo", "c", pairs=four_pairs, margin=123.0)
    row = results.read(folder).iloc[0]
    assert row["margin"] == 123.0 and row["n"] == metrics.n(four_pairs) == 4


@pytest.mark.parametrize("name", [store.PAIRS, store.CURVE, store.GENERATIONS])
def test_a_table_that_is_not_what_was_stored_is_a_warning_and_no_error(runs, name):
    before = results.read(runs).set_index("loss")
    without(runs, "margin", "distinct_2")
    (runs / "toy" / "dpo-c1" / name).write_bytes(b"no table")
    with pytest.warns(UserWarning, match=f"not measured from .*: {name} is missing, or is not what was stored"):
        row = results.read(runs).set_index("loss").loc["dpo"]
    lacking = "distinct_2" if name == store.GENERATIONS else "margin"
    assert math.isnan(row[lacking]) and row["chosen_logp_drift"] == before.loc["dpo", "chosen_logp_drift"]


def test_answers_without_the_references_are_a_warning(runs):
    without(runs, "length_ratio")
    (runs / "toy" / "none-c2" / "row.json").unlink()
    with pytest.warns(UserWarning, match="the reference's answers are missing"):
        assert math.isnan(results.read(runs)["length_ratio"][0])


def test_a_cell_that_did_not_finish_and_one_without_tables_are_left_as_they_are(tmp_path, stored):
    folder = stored("dpo", "c", pairs=None)
    store.write_failed(folder.with_name("kto-d"), cell={}, row={"loss": "kto", "cell": "d", "reason": "nan"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert results.read(tmp_path / "runs")["margin"].isna().all()
