"""Reading: what the store holds comes back typed, and what cannot be read is named."""

import json
import math

import pandas as pd
import pytest

import results
from results import metrics
from results.cells import store
from results.schema import row


@pytest.fixture
def mixed(tmp_path, stored, four_pairs, curve_table):
    """Two finished cells of two suites, a failed one, a half-written one and a folder without a row."""
    steps = pd.concat(
        [four_pairs.assign(step=2), four_pairs.assign(step=4), four_pairs.assign(step=4, split="validation")],
        ignore_index=True,
    )
    stored(
        "dpo",
        "c1",
        pairs=steps,
        curve=curve_table(3),
        beta=0.1,
        seed=0,
        control=False,
        epochs=1,
        hyperparameters={"beta": 0.1},
        later_column="kept",
    )
    stored("none", "c2", suite="other", pairs=four_pairs.assign(step=0), control=True)
    store.write_failed(
        store.cell_folder(tmp_path / "runs", "toy", "kto", "c3"),
        cell={},
        row={"loss": "kto", "cell": "c3", "reason": "loss is nan"},
    )
    (stored("ipo", "c4") / "row.json").write_text('{"status": "do')
    (tmp_path / "runs" / "toy" / "orpo-c5").mkdir()
    (tmp_path / "runs" / "report.md").write_text("")
    return tmp_path / "runs"


def test_read_gives_one_typed_row_a_cell_in_declared_order(mixed):
    with pytest.warns(UserWarning, match="skipped .*ipo-c4/row.json"):
        runs = results.read(mixed)
    assert list(runs["loss"]) == ["none", "dpo", "kto"]
    assert list(runs["status"]) == ["done", "done", "failed"]
    declared = row.names(row.ROW_COLUMNS)
    assert tuple(runs.columns) == (*declared, "later_column")
    assert {name: str(runs[name].dtype) for name in declared} == {
        column.name: column.dtype for column in row.ROW_COLUMNS
    }


@pytest.mark.filterwarnings("ignore:skipped")
def test_read_values_and_missing_values(mixed):
    runs = results.read(mixed).set_index("loss")
    assert runs.loc["dpo", "beta"] == 0.1 and runs.loc["dpo", "seed"] == 0 and runs.loc["dpo", "epochs"] == 1.0
    assert json.loads(runs.loc["dpo", "hyperparameters"]) == {"beta": 0.1}
    assert runs.loc["dpo", "later_column"] == "kept" and runs.loc["kto", "reason"] == "loss is nan"
    assert math.isnan(runs.loc["kto", "beta"]) and runs.loc["kto", "seed"] is pd.NA
    assert "files" not in runs.columns


@pytest.mark.filterwarnings("ignore:skipped")
def test_a_suite_and_a_cell_can_be_read_alone(mixed):
    assert list(results.read(mixed / "toy")["loss"]) == ["dpo", "kto"]
    assert list(results.read(str(mixed / "toy" / "dpo-c1"))["cell"]) == ["c1"]


def test_a_row_with_a_value_of_another_type_is_skipped_and_named(stored):
    folder = stored("dpo", "c")
    stored("ipo", "c")
    (folder / "row.json").write_text(json.dumps({"loss": "dpo", "beta": "large"}))
    with pytest.warns(UserWarning, match="dpo-c/row.json: beta is 'large', but must be float64"):
        assert list(results.read(folder.parent)["loss"]) == ["ipo"]


@pytest.mark.parametrize("read", [results.read, results.pairs, results.curves])
def test_no_runs_is_one_clear_error(read, tmp_path):
    (tmp_path / "file").write_text("")
    for path, message in (
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path / "file", "is a file"),
        (tmp_path, "no row.json that can be read"),
    ):
        with pytest.raises(FileNotFoundError, match=f"No runs at .*{message}"):
            read(path)


@pytest.mark.filterwarnings("ignore:skipped")
def test_pairs_takes_the_last_step_of_each_cell_and_the_test_split(mixed):
    pairs = results.pairs(mixed)
    assert list(pairs.columns)[:2] == ["cell", "loss"]
    assert tuple(pairs.columns)[2:] == row.names(row.PAIR_COLUMNS)
    assert pairs.groupby("loss")["step"].unique().map(list).to_dict() == {"dpo": [4], "none": [0]}
    assert set(pairs["split"]) == {"test"} and len(pairs) == 8


@pytest.mark.filterwarnings("ignore:skipped")
def test_pairs_of_a_step_a_split_or_all(mixed):
    assert len(results.pairs(mixed, step=2)) == 4
    assert len(results.pairs(mixed, step="all")) == 12
    assert len(results.pairs(mixed, step="all", split=None)) == 16
    assert set(results.pairs(mixed, split="validation")["cell"]) == {"c1"}


@pytest.mark.filterwarnings("ignore:skipped")
def test_a_step_or_split_that_was_not_measured_lists_those_that_were(mixed):
    with pytest.raises(ValueError, match="No pair was measured at step 3; there are: 0, 2, 4"):
        results.pairs(mixed, step=3)
    with pytest.raises(ValueError, match="No pair was measured at split 'train'; there are: test, validation"):
        results.pairs(mixed, split="train")
    with pytest.raises(ValueError, match="step is 'first'; allowed are 'last', 'all' or a number"):
        results.pairs(mixed, step="first")


@pytest.mark.filterwarnings("ignore:skipped")
def test_stored_pairs_are_measured_cell_by_cell_and_never_pooled(mixed):
    pairs = results.pairs(mixed)
    assert pairs.groupby("loss").apply(metrics.preference_accuracy).to_dict() == {"dpo": 0.625, "none": 0.625}
    with pytest.raises(ValueError, match="mixes 2 values of cell"):
        metrics.preference_accuracy(pairs)


def test_curves_carry_the_name_as_loss_and_the_value_as_loss_value(stored, curve_table):
    stored("dpo", "c1", curve=curve_table(3))
    folder = stored("orpo", "c2", curve=curve_table(2).assign(term_nll=[2.0, 1.0]))
    curves = results.curves(folder.parent)
    assert list(curves.columns)[:4] == ["cell", "loss", "step", "loss_value"]
    assert list(curves["loss"]) == ["dpo"] * 3 + ["orpo"] * 2
    assert list(curves["loss_value"]) == [0.0, 0.5, 1.0, 0.0, 0.5]
    assert curves["term_nll"].isna().sum() == 3 and curves["clipped"].dtype == "boolean"


def test_a_table_that_cannot_be_read_is_skipped_and_named(stored):
    folder = stored("dpo", "c1")
    stored("ipo", "c2")
    (folder / "pairs.parquet").write_bytes(b"not parquet")
    with pytest.warns(UserWarning, match="skipped .*dpo-c1/pairs.parquet"):
        assert set(results.pairs(folder.parent)["loss"]) == {"ipo"}


def test_cells_without_a_curve_say_so(stored):
    with pytest.raises(FileNotFoundError, match="No cell at .* has a curve.parquet"):
        results.curves(stored("none", "c"))


def test_a_thousand_cells_are_read_as_one_frame(tmp_path):
    for place in range(1000):
        folder = tmp_path / "toy" / f"dpo-{place:04}"
        folder.mkdir(parents=True)
        (folder / "row.json").write_text(json.dumps({"loss": "dpo", "cell": str(place), "seed": place}))
    assert list(results.read(tmp_path)["seed"]) == list(range(1000))
