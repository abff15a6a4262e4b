"""Search and claim as options: presets fill gaps, seeds of a claim are fresh, and what is idle or wrong is said."""

import pytest

from harness.errors import UsageError
from harness.options.cards import make
from harness.options.run import Options
from harness.options.search import BUDGETS, OF_SEARCH, confirmation_seeds, describe_budget, trial_count

NEEDED = {"suite": "x", "losses": ("dpo",)}


def test_a_preset_sets_what_is_not_given_and_nothing_else():
    quick = make({**NEEDED, "budget": "quick", "trials": "5"})
    assert (quick.search, quick.trials, quick.claim_seeds, quick.train_pairs) == ("random", 5, (3,), (128,))
    assert describe_budget(quick) == "budget=quick: search=random trials=5 claim_seeds=3 train_pairs=128 eval_pairs=128"
    assert make(NEEDED).search == "none" and describe_budget(make(NEEDED)) == ""
    rows_alone = make({**NEEDED, "budget": "paper", "search": "none"})
    assert (rows_alone.search, rows_alone.trials, rows_alone.train_pairs) == ("none", None, (2048,))


def test_numbers_of_rows_of_a_preset_are_defaults_that_a_small_suite_may_lower():
    assert not {"train_pairs", "eval_pairs"} & make({**NEEDED, "budget": "standard"}).model_fields_set
    assert "train_pairs" in make({**NEEDED, "budget": "standard", "train_pairs": "64"}).model_fields_set
    paper = Options(**NEEDED, budget="paper")
    assert paper.eval_pairs == 1000 and Options.model_validate(paper) == paper


@pytest.mark.parametrize("name", BUDGETS)
def test_every_preset_is_a_command_that_can_be_run(name):
    options = make({**NEEDED, "budget": name})
    assert trial_count(options) == BUDGETS[name]["trials"] and len(confirmation_seeds(options)) >= 3


def test_a_count_of_confirmation_seeds_takes_the_first_that_the_search_does_not_use():
    searched = {**NEEDED, "search": "random"}
    assert confirmation_seeds(make(searched)) == (1, 2, 3)
    assert confirmation_seeds(make({**searched, "seeds": "2", "claim_seeds": "4"})) == (0, 1, 3, 4)
    assert confirmation_seeds(make({**searched, "claim_seeds": ("7", "8", "9")})) == (7, 8, 9)
    assert confirmation_seeds(make({**searched, "claim_seeds": "none"})) == ()
    assert confirmation_seeds(make(NEEDED)) == ()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"trials": "3"}, "trials= does nothing without a search; add search=random"),
        ({"claim_seeds": ("1", "2")}, "for several seeds without a search write seeds=1,2,3"),
        ({"search": "random", "seeds": ("0", "1")}, "seen seeds=0,1; give seeds one value"),
        ({"search": "random", "length_balance": ("true", "false")}, "seen suite.length_balance=true,false"),
        ({"search": "random", "train_pairs": ("64", "128")}, "give train_pairs one value"),
        ({"search": "grid", "claim_seeds": ("0", "1", "2")}, "contains the seed of the search, 0"),
        ({"search": "random", "claim_seeds": "0"}, "claim_seeds=0 is a count of no seeds"),
        ({"search": "randm"}, "did you mean 'random'"),
        ({"search": "random", "trials": "0"}, "'0' is not a whole number 1 to 1000"),
        ({"budget": "fast"}, "unknown value 'fast'. Allowed: none, quick, standard, paper"),
    ],
)
def test_what_is_idle_or_wrong_is_one_sentence(values, told):
    with pytest.raises(UsageError) as caught:
        make({**NEEDED, **values})
    assert len(caught.value.messages) == 1 and told in caught.value.messages[0]


def test_the_keys_of_a_search_that_are_idle_without_one_are_these():
    assert OF_SEARCH == ("trials", "search_seed", "claim_seeds")


@pytest.mark.parametrize("key", ["seeds", "train_pairs", "label_noise", "length_balance", "min_margin"])
def test_a_search_holds_every_axis_that_it_does_not_try_itself_to_one_value(key):
    values = {"seeds": ("4", "5"), "train_pairs": ("64", "128"), "label_noise": ("0", "0.1")}
    values |= {"length_balance": ("false", "true"), "min_margin": ("none", "1")}
    with pytest.raises(UsageError) as caught:
        make({**NEEDED, "search": "random", "claim_seeds": ("1", "2", "3"), key: values[key]})
    (said,) = caught.value.messages
    name = key if key in ("seeds", "train_pairs") else f"suite.{key}"
    assert said.endswith(f"give {name} one value")
