"""Axes of the training rows in a table: columns, groups, and accuracy against one of them."""

import pandas
import pytest

import reports
from reports.content import axes, notes, tables


@pytest.fixture
def swept(make) -> pandas.DataFrame:
    """Three noise levels, two losses, two seeds and the baselines."""
    rows = [make.cell("none", lr=None, seed=None, train_pairs=0)]
    for noise in (0.2, 0.0, 0.1):
        for loss in ("sft", "dpo", "ipo"):
            for seed in (0, 1):
                accuracy = 0.7 - noise - 0.02 * seed
                rows.append(
                    make.cell(
                        loss, seed=seed, label_noise=noise, cell=f"{loss}{noise}{seed}", preference_accuracy=accuracy
                    )
                )
    return make.frame(*rows)


def test_a_data_perturbation_is_a_column_only_where_it_varies(make, swept: pandas.DataFrame) -> None:
    assert "label_noise" in reports.main_table(swept).columns
    assert "train_pairs" not in reports.main_table(swept).columns
    assert "label_noise" not in reports.main_table(make.frame(make.cell("dpo", label_noise=0.1))).columns


def test_rows_of_equal_data_perturbations_stand_together_with_their_baselines(swept: pandas.DataFrame) -> None:
    table = reports.main_table(swept)
    assert list(table["loss"]) == ["none", *(["sft"] * 2 + ["dpo"] * 2 + ["ipo"] * 2) * 3]
    assert list(table["label_noise"].dropna()) == sorted(table["label_noise"].dropna())


def test_a_terminal_rules_off_rows_that_are_not_compared(make) -> None:
    rows = [make.cell("dpo", label_noise=noise, cell=str(noise)) for noise in (0.0, 0.1)]
    plain = [make.cell("dpo", label_noise=0.0, cell=str(place), seed=place) for place in range(2)]
    rules = [
        sum(line.startswith("----") for line in reports.terminal(make.frame(*cells), width=200).splitlines())
        for cells in (rows, plain)
    ]
    assert rules == [2, 1]


def test_a_note_says_within_what_losses_compare(make, swept: pandas.DataFrame) -> None:
    (protocol,) = tables.protocols(swept)
    assert notes.notes(protocol)[0] == (
        "The training rows differ in label noise: compare losses within equal values only."
    )
    (plain,) = tables.protocols(make.frame(make.cell("dpo")))
    assert not any("training rows differ" in note for note in notes.notes(plain))


def test_a_data_perturbation_that_all_rows_share_away_from_its_default_is_named_once(make) -> None:
    given = {"label_noise": 0.2, "length_balance": True, "min_margin": 0.5}
    (protocol,) = tables.protocols(make.frame(make.cell("dpo", **given), make.cell("none", lr=None, seed=None)))
    named = dict(notes.identity(protocol))
    assert (named["label noise"], named["length balance"], named["min margin"]) == ("0.2", "True", "0.5")
    (plain,) = tables.protocols(make.frame(make.cell("dpo", label_noise=0.0, length_balance=False)))
    assert "label noise" not in dict(notes.identity(plain))


def test_cells_stored_without_data_perturbations_count_as_plain(make) -> None:
    frame = make.frame(make.cell("dpo"), make.cell("ipo", label_noise=0.0, length_balance=False))
    assert axes.varying(frame) == ()


def test_accuracy_against_an_axis_is_the_mean_of_seeds_with_an_error_that_they_do_not_shrink(swept) -> None:
    points = axes.against(tables.protocols(swept)[0].done, "label_noise")
    assert len(points) == 9 and list(points["setting"].unique()) == [
        "sft lr 1e-5",
        "dpo beta 0.1, lr 1e-5",
        "ipo beta 0.1, lr 1e-5",
    ]
    (dpo,) = points[(points["loss"] == "dpo") & (points["value"] == 0.1)].to_dict("records")
    assert dpo["preference_accuracy"] == pytest.approx(0.59) and dpo["seeds"] == 2
    assert dpo["preference_accuracy_se"] == pytest.approx(0.031)


def test_an_axis_that_does_not_vary_has_no_points(swept: pandas.DataFrame) -> None:
    assert axes.against(tables.protocols(swept)[0].done, "train_pairs").empty


def test_two_axes_give_each_the_other_as_a_setting(make) -> None:
    rows = [
        make.cell("dpo", label_noise=noise, train_pairs=pairs, cell=f"{noise}-{pairs}")
        for noise in (0.0, 0.1)
        for pairs in (64, 128)
    ]
    points = axes.against(tables.protocols(make.frame(*rows))[0].done, "train_pairs")
    assert list(points["value"]) == [64, 128] * 2
    assert points["setting"].iloc[-1] == "dpo beta 0.1, lr 1e-5, label noise 0.1"


def test_the_report_draws_the_axis_and_says_it_in_a_table(swept: pandas.DataFrame, tmp_path) -> None:
    reports.write(tmp_path, swept)
    page, text = ((tmp_path / name).read_text() for name in ("report.html", "report.md"))
    assert page.count('aria-label="preference accuracy against label noise"') == 1
    assert "### Preference accuracy against label noise" in text
    assert "| dpo beta 0.1, lr 1e-5 | 0.690 ± 0.031 | 0.590 ± 0.031 | 0.490 ± 0.031 |" in text
    assert "against train pairs" not in text


def test_sources_of_a_mixture_have_a_table_of_their_own(make, tmp_path) -> None:
    given = {
        "preference_accuracy[help]": 0.7,
        "preference_accuracy[help]_se": 0.02,
        "chosen_logp_drift[help]": -1.0,
        "rejected_logp_drift[help]": -2.0,
        "n[help]": 50,
        "preference_accuracy[harm]": 0.4,
    }
    frame = make.frame(make.cell("dpo", **given), make.cell("none", lr=None, seed=None))
    reports.write(tmp_path, frame)
    text = (tmp_path / "report.md").read_text()
    assert all(
        part in text for part in ("### By source", "help: preference accuracy ± se ↑", "0.700 ± 0.020", "| 0.400 |")
    )
    assert "help" in reports.terminal(frame, width=200)
    assert tables.source_fields(make.frame(make.cell("dpo"))) == ()


@pytest.fixture
def rounds(make) -> pandas.DataFrame:
    """Two losses in three rounds against the first reference; simpo looks at none."""
    rows = [make.cell("none", lr=None, seed=None, train_pairs=0)]
    for number in (1, 2, 3):
        later = {"rated_by": "gold:r-1"} if number > 1 else {}
        for loss, reference in (("dpo", "first"), ("simpo", None)):
            own = {**later, "reference": reference} if number > 1 else {}
            accuracy = 0.6 + number / 20
            rows.append(make.cell(loss, round=number, cell=f"{loss}{number}", preference_accuracy=accuracy, **own))
    return make.frame(*rows)


def test_rounds_are_an_axis_and_what_only_later_rounds_have_is_named_once(rounds: pandas.DataFrame) -> None:
    assert axes.varying(rounds) == ("round",)
    (protocol,) = tables.protocols(rounds)
    named = dict(notes.identity(protocol))
    assert (named["reference"], named["rated by"]) == ("first", "gold:r-1")
    assert list(reports.main_table(rounds)["loss"]) == ["none", *["dpo", "simpo"] * 3]
    points = axes.against(rounds, "round")
    assert list(points.loc[points["loss"] == "dpo", "preference_accuracy"]) == pytest.approx([0.65, 0.7, 0.75])
    assert "not training rows" in notes.notes(protocol)[0]


def test_references_that_differ_stand_apart(make) -> None:
    both = [make.cell("dpo", round=2, reference=name, cell=name) for name in ("first", "previous")]
    frame = make.frame(make.cell("dpo", round=1, cell="one"), *both)
    assert axes.varying(frame) == ("round", "reference")
    assert "reference" in reports.main_table(frame).columns
