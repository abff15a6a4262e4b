"""The presets of `budget=`: what they set, and how that is written."""

from harness.options.budgets import BUDGETS, NUMBERS_OF_ROWS, describe_presets, typed
from harness.options.run import Options


def test_a_preset_sets_options_that_exist_to_values_that_they_take():
    for preset in BUDGETS.values():
        options = Options(suite="x", losses=("dpo",), **preset)
        assert {key: getattr(options, key) for key in preset} == dict(preset)


def test_a_larger_budget_asks_for_more_of_everything():
    assert list(BUDGETS) == ["quick", "standard", "paper"]
    for key in ("trials", "claim_seeds", "train_pairs", "eval_pairs"):
        sizes = [preset[key] for preset in BUDGETS.values()]
        assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_every_preset_names_both_numbers_of_rows():
    assert all(NUMBERS_OF_ROWS <= set(preset) for preset in BUDGETS.values())


def test_presets_are_told_as_they_would_be_typed():
    first = describe_presets().split("; ")[0]
    assert first == "quick: search=random trials=3 claim_seeds=3 train_pairs=128 eval_pairs=128"


def test_several_values_are_typed_with_commas():
    assert (typed((1, 2)), typed("random"), typed(3)) == ("1,2", "random", "3")
