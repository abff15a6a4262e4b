"""The options of `evaluate`: its own, those that it shares with `run`, and what must be said together."""

import pytest

from harness.errors import UsageError
from harness.options.cards import cards, kinds, make
from harness.options.evaluate import SHARED, EvaluateOptions, evaluate_cards, evaluate_kinds
from harness.options.fields import Scope

NEEDED = {"model": ("a", "b"), "reference": "tiny"}


def problems_of(**values):
    with pytest.raises(UsageError) as caught:
        make({**NEEDED, **values}, EvaluateOptions)
    return caught.value.messages


def test_the_keys_that_it_shares_with_a_run_are_these():
    shared = (
        "suite plugins eval_pairs max_tokens template overlong precision similarity generate rerank prompts "
        "max_new_tokens temperature top_p judge lm_eval refusal device threads workers layout store retry out"
    )
    assert set(shared.split()) == SHARED


def test_nothing_of_a_search_or_a_plan_is_shared():
    assert not SHARED & {card.name for card in cards() if card.scope in (Scope.SEARCH, Scope.PLAN)}


def test_no_key_means_two_things():
    assert not SHARED & {card.name for card in cards(EvaluateOptions)}


def test_its_own_keys_come_first():
    names = [card.name for card in evaluate_cards()]
    assert names[:7] == ["model", "model_revision", "reference", "reference_revision", "loss", "beta", "seeds"]
    assert len(names) == len(set(names)) == 7 + len(SHARED)


def test_a_comma_means_what_it_means_for_the_verb_that_declares_the_key():
    assert set(evaluate_kinds()) == {card.name for card in evaluate_cards()}
    assert (evaluate_kinds()["model"], kinds()["model"]) == ("axis", "scalar")
    assert (evaluate_kinds()["seeds"], evaluate_kinds()["judge"]) == ("list", "list")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seeds": ("1",), "loss": "dpo"}, "seeds= names 1 seeds for 2 models"),
        ({"seeds": ("1", "2")}, "name it with loss="),
        ({"beta": "0.1"}, "beta=0.1 belongs to a loss, and none is named"),
        ({"model_revision": "main"}, "model_revision= belongs to one model"),
    ],
)
def test_what_does_not_fit_together_is_told(values, said):
    (found,) = problems_of(**values)
    assert said in found


def test_models_with_their_loss_beta_and_seeds_are_accepted():
    made = make({**NEEDED, "loss": "dpo", "beta": "0.1", "seeds": ("1", "2")}, EvaluateOptions)
    assert (made.loss, made.beta, made.seeds) == ("dpo", 0.1, (1, 2))
    assert make({**NEEDED, "model": "a", "model_revision": "main"}, EvaluateOptions).model_revision == "main"
