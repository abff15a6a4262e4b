"""The long form: every measured number once, with its error, count, unit and direction."""

import pytest

import results
from results import metrics
from results.cells.long_form import _COUNTED_BY
from results.schema.row import METRIC_COLUMNS, names
from results.schema.tables import LONG_COLUMNS


@pytest.fixture
def runs(stored, four_pairs):
    measured = metrics.measure(four_pairs, reward="log_ratio", beta=0.1, noise_floor=0.0)
    extra = {
        "preference_accuracy[mine]": 0.75,
        "preference_accuracy[mine]_se": 0.1,
        "n[mine]": 4,
        "capability_everyday": -0.02,
        "capability_everyday_se": 0.01,
        "capability_everyday_before": 0.7,
    }
    stored("none", "n", control=True)
    folder = stored(
        "dpo",
        "d",
        control=False,
        beta=0.1,
        kl=2.0,
        kl_se=0.5,
        generated_prompts=8,
        steps=3,
        clipped_fraction=0.5,
        win_rate=0.6,
        judged_prompts=7,
        **measured,
        **extra,
    )
    return results.read(folder.parent)


def test_a_number_stands_with_its_error_count_unit_and_direction(runs):
    long = results.metrics_long(runs).query("loss == 'dpo'").set_index("metric")
    counts = {
        "preference_accuracy": (0.625, 4, "share", "up"),
        "accuracy_chosen_longer": (0.5, 2, "share", "up"),
        "kl": (2.0, 8, "nats", "none"),
        "win_rate": (0.6, 7, "share", "up"),
        "clipped_fraction": (0.5, 3, "share", "none"),
        "preference_accuracy[mine]": (0.75, 4, "share", "up"),
    }
    for name, expected in counts.items():
        row = long.loc[name]
        assert (row["value"], row["n"], row["unit"], row["better"]) == expected, name
    assert long.loc["kl", "se"] == 0.5 and long.loc["preference_accuracy[mine]", "se"] == 0.1
    assert long.loc["capability_everyday", "value"] == -0.02 and long["n"].isna()["capability_everyday"]


def test_every_number_is_there_once_and_equal_to_the_wide_one(runs):
    long = results.metrics_long(runs)
    assert not long.duplicated(["cell", "metric"]).any()
    wide = runs.set_index("cell")
    assert all(wide.loc[row.cell, row.metric] == row.value for row in long.itertuples())
    counted = [c.name for c in METRIC_COLUMNS if c.dtype == "float64" and not c.name.endswith("_se")]
    assert set(long["metric"]) >= {name for name in counted if wide.loc["d", name] == wide.loc["d", name]}
    assert not any(name.endswith(("_se", "_before")) for name in long["metric"])


def test_the_frame_has_its_declared_columns_and_types(runs):
    long = results.metrics_long(runs)
    assert list(long.columns) == list(names(LONG_COLUMNS))
    assert [str(dtype) for dtype in long.dtypes] == [column.dtype for column in LONG_COLUMNS]
    assert long["seed"].isna().all()  # of an untrained policy too: whole numbers that may be missing


def test_a_path_is_read_and_a_frame_without_cells_says_so(runs, tmp_path):
    assert len(results.metrics_long(tmp_path / "runs")) == len(results.metrics_long(runs))
    with pytest.raises(ValueError, match="Columns missing from the runs: cell. Use results.read"):
        results.metrics_long(runs.drop(columns="cell"))


def test_single_rated_answers_are_not_counted_as_pairs(stored, four_pairs):
    sides = ["policy_rejected_logp", "reference_rejected_logp", "rejected_tokens"]
    rated = four_pairs.assign(**dict.fromkeys(sides, float("nan")))
    measured = metrics.measure(rated, reward="log_ratio", beta=0.1, noise_floor=0.0)
    folder = stored("kto", "k", pairs=rated, control=False, **measured)
    long = results.metrics_long(folder).set_index("metric")
    assert long.loc["chosen_logp_drift", "value"] == 0.25 and long["n"].isna()["chosen_logp_drift"]
    assert "preference_accuracy" not in long.index


def test_counts_are_named_for_metrics_that_exist():
    declared = names(METRIC_COLUMNS)
    assert set(_COUNTED_BY) <= set(declared)
