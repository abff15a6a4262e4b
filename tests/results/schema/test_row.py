"""The schema: what the contract promises is declared, described and measured."""

import inspect
import subprocess
import sys

import pytest

from results import metrics
from results.schema import row, tables

PROMISED = """
    loss beta lr seed hyperparameters suite model protocol cell status reason train_pairs eval_pairs steps
    preference_accuracy validation_preference_accuracy reward_accuracy mean_ratio_accuracy likelihood_accuracy
    mean_likelihood_accuracy preference_accuracy_at_start validation_preference_accuracy_at_start
    reward_accuracy_at_start mean_ratio_accuracy_at_start likelihood_accuracy_at_start
    mean_likelihood_accuracy_at_start margin effective_beta chosen_logp_drift rejected_logp_drift
    displaced_fraction undecided_fraction length_bias length_spearman accuracy_chosen_longer
    accuracy_chosen_shorter accuracy_length_balanced win_rate win_rate_baseline win_rate_length_controlled
    generated_tokens kl clipped_fraction seconds train_seconds tokens_per_second peak_memory_bytes noise_floor
    device versions commit suite_revision model_revision
""".split()

TABLES = {
    "row": row.ROW_COLUMNS,
    "pair": row.PAIR_COLUMNS,
    "curve": row.CURVE_COLUMNS,
    "verdict": tables.VERDICT_COLUMNS,
    "comparison": tables.COMPARISON_COLUMNS,
}


def test_every_promised_row_column_is_declared():
    assert set(PROMISED) <= set(row.names(row.ROW_COLUMNS))


@pytest.mark.parametrize("table", TABLES)
def test_column_names_are_unique(table):
    declared = row.names(TABLES[table])
    assert len(set(declared)) == len(declared)


@pytest.mark.parametrize("table", TABLES)
def test_every_column_has_a_known_type_a_unit_a_direction_and_a_meaning(table):
    for column in TABLES[table]:
        assert column.dtype in ("str", "float64", "Int64", "boolean"), column
        assert column.better in ("up", "down", "none"), column
        assert column.unit and column.meaning, column


def test_volatile_columns_exist_and_are_never_metrics():
    assert row.VOLATILE <= set(row.names(row.ROW_COLUMNS))
    assert not row.VOLATILE & set(row.names(row.METRIC_COLUMNS))
    assert row.VOLATILE_CURVE <= set(row.names(row.CURVE_COLUMNS))


def test_cost_and_provenance_are_volatile_and_identity_is_not():
    assert {
        "seconds",
        "train_seconds",
        "peak_memory_bytes",
        "device",
        "commit",
        "threads",
        "micro_batch",
        "layout",
        "started",
        "finished",
    } <= row.VOLATILE
    assert not row.VOLATILE & {"loss", "beta", "lr", "seed", "cell", "protocol", "status", "noise_floor"}


def test_each_pair_metric_column_has_one_function_of_its_name():
    for column in row.PAIR_METRIC_COLUMNS:
        if column.name.endswith("_se"):
            assert column.name.removesuffix("_se") in metrics.METRICS
        else:
            function = getattr(metrics, column.name)
            assert function.__doc__ and next(iter(inspect.signature(function).parameters)) == "pairs"


def test_each_metric_function_has_a_column():
    declared = set(row.names(row.PAIR_METRIC_COLUMNS))
    assert set(metrics.METRICS) | set(metrics.COUNTS) <= declared


def test_a_standard_error_stands_right_after_its_metric():
    declared = row.names(row.ROW_COLUMNS)
    for place, name in enumerate(declared):
        if name.endswith("_se"):
            assert declared[place - 1] == name.removesuffix("_se")


def test_importing_the_package_and_its_schema_loads_no_heavy_library():
    code = (
        "import sys, results; results.columns, results.store\n"
        "print([name for name in ('numpy', 'pandas', 'scipy', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_door_offers_its_names_and_refuses_others():
    import results

    assert results.columns is row and results.metrics is metrics
    assert set(dir(results)) == {
        "across",
        "annotations",
        "audits",
        "columns",
        "compare",
        "comparison",
        "curves",
        "diagnosis",
        "exponents",
        "frontiers",
        "inference",
        "metrics",
        "metrics_long",
        "pairs",
        "read",
        "read_annotations",
        "search",
        "seeds_needed",
        "settings",
        "statistics",
        "store",
        "tuning",
        "verdicts",
    }
    assert results.read_annotations is results.annotations.read_annotations
    with pytest.raises(AttributeError, match="no attribute 'reed'"):
        results.reed  # noqa: B018
