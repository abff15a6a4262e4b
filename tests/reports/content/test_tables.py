"""Which rows and columns a report shows, in which order, and what it says about them."""

import pandas
import pytest

import reports
from reports.content import notes, tables


def test_baselines_stand_first_then_losses_by_name(runs: pandas.DataFrame) -> None:
    assert list(reports.main_table(runs)["loss"]) == ["none", "sft", "dpo", "ipo", "kto", "orpo", "simpo"]


def test_the_order_of_the_input_does_not_matter(runs: pandas.DataFrame) -> None:
    shuffled = runs.sample(frac=1, random_state=3)
    pandas.testing.assert_frame_equal(reports.main_table(shuffled), reports.main_table(runs))


def test_cells_of_a_loss_are_ordered_by_beta_rate_and_seed_as_numbers(make) -> None:
    given = [(10.0, 1e-5, 0), (2.0, 1e-4, 0), (2.0, 1e-5, 1), (2.0, 1e-5, 0)]
    rows = [make.cell("dpo", lr=lr, seed=seed, hyperparameters={"beta": beta}) for beta, lr, seed in given]
    table = reports.main_table(make.frame(*rows))
    shown = list(table[["beta", "lr", "seed"]].itertuples(index=False, name=None))
    assert shown == [given[3], given[2], given[1], given[0]]


def test_the_main_table_holds_numbers_with_their_errors(runs: pandas.DataFrame) -> None:
    table = reports.main_table(runs).set_index("loss")
    assert table.loc["dpo", "preference_accuracy"] == 0.62
    assert table.loc["dpo", "preference_accuracy_se"] == 0.031
    assert table.loc["simpo", "reward"] == "mean_log_prob"


def test_a_hyperparameter_is_a_column_only_where_it_varies_within_a_loss(make) -> None:
    ratios = [make.cell("simpo", hyperparameters={"beta": 2.0, "gamma_beta_ratio": ratio}) for ratio in (0.3, 0.5)]
    fixed = make.cell("kto", hyperparameters={"beta": 0.1, "desirable_weight": 1.0})
    table = reports.main_table(make.frame(*ratios, fixed))
    assert list(table["hyperparameters.gamma_beta_ratio"].dropna()) == [0.3, 0.5]
    assert "hyperparameters.desirable_weight" not in table.columns
    assert "seed" not in table.columns


def test_failed_cells_are_not_rows_but_are_named_with_their_reason(make) -> None:
    failed = make.cell("kto", lr=1e-3, status="failed", reason="loss is not finite at step 3")
    (protocol,) = tables.protocols(make.frame(make.cell("dpo"), failed))
    assert list(reports.main_table(protocol.rows)["loss"]) == ["dpo"]
    assert notes.unfinished(protocol) == ("kto beta 0.1, lr 1e-3: failed: loss is not finite at step 3",)


def test_protocols_stay_apart_and_name_what_tells_them_apart(make) -> None:
    frame = make.frame(make.cell("dpo"), make.cell("dpo", cell="b", protocol="p2", template="chat"))
    first, second = tables.protocols(frame)
    assert [len(first.rows), len(second.rows)] == [1, 1]
    assert dict(notes.identity(first))["template"] == "plain"
    assert dict(notes.identity(second)) == dict(notes.identity(first)) | {
        "template": "chat",
        "protocol": "p2",
    }


def test_a_setting_that_every_protocol_shares_is_not_named_beyond_the_usual_ones(
    runs: pandas.DataFrame,
) -> None:
    (protocol,) = tables.protocols(runs)
    named = [name for name, _ in notes.identity(protocol)]
    assert named == [
        "suite",
        "model",
        "tuning",
        "start",
        "precision",
        "train pairs",
        "test pairs",
        "protocol",
    ]


def test_what_was_not_trained_does_not_blur_the_count_of_training_rows(make) -> None:
    untrained = make.cell("none", lr=None, seed=None, train_pairs=0)
    skipped = make.cell("ipo", lr=None, seed=None, train_pairs=0, status="skipped")
    frame = make.frame(untrained, skipped, make.cell("dpo"))
    assert dict(notes.identity(tables.protocols(frame)[0]))["train pairs"] == "512"


def test_a_frame_without_the_needed_columns_is_refused_by_name(runs: pandas.DataFrame) -> None:
    with pytest.raises(ValueError, match="Columns missing from the runs: protocol, status; found: loss"):
        reports.main_table(runs.drop(columns=["protocol", "status"]))
