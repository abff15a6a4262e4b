"""What a table says about itself: findings, accuracies that disagree, cells without a result."""

import pandas
import pytest

from reports.content import notes, tables
from results.metrics.diagnosis import Finding


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        ((0,), "1 seed: no claim about the losses"),
        ((0, 1), "2 seeds: no claim about the losses"),
        ((0, 1, 2), "3 seeds a setting; the table describes runs, and `compare` tests the losses"),
    ],
)
def test_the_claim_follows_the_number_of_seeds(make, seeds: tuple[int, ...], sentence: str) -> None:
    frame = make.frame(*(make.cell("dpo", seed=seed) for seed in seeds))
    assert notes.finding(tables.protocols(frame)[0]) == sentence


def test_the_setting_with_the_fewest_seeds_decides_the_finding(make) -> None:
    rows = [make.cell("dpo", seed=seed) for seed in (0, 1, 2)] + [make.cell("ipo")]
    assert notes.finding(tables.protocols(make.frame(*rows))[0]) == "1 seed: no claim about the losses"


def test_several_settings_of_one_seed_do_not_count_as_seeds(make) -> None:
    rows = [make.cell("dpo", hyperparameters={"beta": beta}) for beta in (0.1, 0.2, 0.3)]
    assert notes.finding(tables.protocols(make.frame(*rows))[0]) == "1 seed: no claim about the losses"


def test_baselines_alone_carry_no_sentence_about_losses(make) -> None:
    assert notes.finding(tables.protocols(make.frame(make.cell("sft")))[0]) == ""


def test_accuracies_on_different_sides_of_one_half_are_named_with_both_values(runs: pandas.DataFrame) -> None:
    found = [note for note in notes.notes(tables.protocols(runs)[0]) if "different sides" in note]
    assert found == [
        "Preference accuracy and length-normalized accuracy lie on different sides of 0.5, so whether these learned "
        "the preference depends on the metric: ipo beta 0.1, lr 1e-5: 0.630 ± 0.031 against 0.490 ± 0.030."
    ]


def test_of_many_cells_six_are_named_and_the_rest_counted(make) -> None:
    rows = [make.cell("ipo", seed=seed, mean_ratio_accuracy=0.49) for seed in range(8)]
    (note,) = [note for note in notes.notes(tables.protocols(make.frame(*rows))[0]) if "different sides" in note]
    assert note.endswith("seed 5: 0.630 ± 0.031 against 0.490 ± 0.030; and 2 more cells.")


def test_nothing_is_noted_without_evidence(make) -> None:
    quiet = make.frame(make.cell("dpo", longer_wins_baseline=None))
    assert notes.notes(tables.protocols(quiet)[0]) == ()


def test_an_accuracy_at_exactly_one_half_does_not_disagree(make) -> None:
    even = make.frame(make.cell("dpo", mean_ratio_accuracy=0.5, longer_wins_baseline=None))
    assert notes.notes(tables.protocols(even)[0]) == ()


def test_a_failure_mode_is_named_once_with_its_cells_evidence_rule_and_remedy(make) -> None:
    frame = make.frame(make.cell("dpo", cell="a"), make.cell("ipo", cell="b"))
    finding = Finding("beta_inert", {"effective_beta": 0.07}, "effective_beta within 0.3 of 0", "larger beta")
    (protocol,) = tables.protocols(frame)
    assert notes.warnings(protocol, {"a": [finding], "b": [finding]}) == (("beta has no effect", "dpo, ipo"),)
    assert notes.diagnosis(protocol, {"a": [finding]}) == (
        "Beta has no effect: dpo beta 0.1, lr 1e-5 (effective beta 0.07). Rule: effective_beta within 0.3 of 0. "
        "Try: larger beta.",
    )
    assert notes.warnings(protocol, {}) == notes.diagnosis(protocol, {}) == ()


def test_a_figure_says_what_it_was_measured_on_where_all_cells_agree(make) -> None:
    same = make.frame(make.cell("dpo"), make.cell("ipo"))
    assert notes.measured_on(same, "n", "test pair") == " Measured on 256 test pairs."
    assert notes.measured_on(same.assign(n=[256, 128]), "n", "test pair") == ""
