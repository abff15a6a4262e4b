"""Cards of keys, and options from text with errors that say what to write."""

import pytest

from harness.errors import UsageError
from harness.options.cards import cards, kinds, make, values_of
from harness.options.evaluate import EvaluateOptions
from harness.options.fields import cards_of
from harness.options.pairs import PairsOptions
from harness.options.run import Options
from harness.options.words import split


def card(name, of=Options):
    return next(card for card in cards(of) if card.name == name)


def problems_of(values, of=Options):
    with pytest.raises(UsageError) as caught:
        make(values, of)
    return caught.value.messages


def test_without_a_verb_the_cards_are_those_of_a_run():
    assert cards() == cards_of(Options)
    assert [card.name for card in cards(PairsOptions)][:3] == ["to", "suite", "prompts"]


def test_the_keys_of_engines_come_last():
    names = [card.name for card in cards()]
    assert names[0] == "suite" and names[names.index("out") + 1] == "ray.address" and names[-1] == "slurm.memory"


def test_a_card_shows_the_default_as_it_is_typed():
    typed = {name: card(name).default for name in ("controls", "train_pairs", "trials", "suite.label_noise", "clip")}
    assert typed == {
        "controls": "true",
        "train_pairs": "512",
        "trials": "auto",
        "suite.label_noise": "0",
        "clip": "1.0",
    }


def test_a_comma_means_what_the_kind_says():
    assert (kinds()["losses"], kinds()["judge"], kinds()["model"]) == ("axis", "list", "scalar")
    assert (kinds(EvaluateOptions)["model"], kinds(EvaluateOptions)["seeds"]) == ("axis", "list")


def test_words_become_values_by_field_with_the_settings_apart():
    argv = "suite=hh-rlhf losses=dpo suite.label_noise=0,0.1 suite.path=d judge.retries=2 dpo.beta=1 ray.cpus=2"
    assert values_of(split(argv.split(), kinds())) == {
        "suite": "hh-rlhf",
        "losses": ("dpo",),
        "label_noise": ("0", "0.1"),
        "ray_cpus": "2",
        "suite_settings": {"path": "d"},
        "judge_settings": {"retries": "2"},
        "loss_settings": {"dpo": {"beta": ("1",)}},
    }


def test_settings_that_were_not_given_are_no_values():
    assert values_of(split(["suite=x"], kinds())) == {"suite": "x"}


def test_options_are_made_of_text():
    made = make({"model": ("a", "b"), "reference": "tiny", "beta": "0.1", "loss": "dpo"}, EvaluateOptions)
    assert (made.model, made.reference, made.beta) == (("a", "b"), "tiny", 0.1)


def test_a_missing_key_is_told_with_its_meaning_and_an_example():
    (said,) = problems_of({"suite": "x"}, PairsOptions)
    assert said == "to= is missing (the suite file to write, ending in .jsonl); for example to=my_pairs.jsonl"


def test_a_wrong_value_is_told_under_the_key_that_is_typed():
    (said,) = problems_of({"suite": "x", "losses": "dpo", "min_margin": ("-1",)})
    assert said.startswith("suite.min_margin: '-1' is not a number >= 0")
    assert said.endswith("; for example suite.min_margin=none")


def test_a_key_of_another_verb_has_the_example_of_its_own():
    assert card("reference").example == "first" and card("reference", EvaluateOptions).example == "smollm2-135m"
    assert card("seeds").example == card("seeds", EvaluateOptions).example == "0,1,2"


def test_an_unknown_field_is_guessed():
    (said,) = problems_of({"to": "x.jsonl", "suite": "x", "temprature": "1"}, PairsOptions)
    assert said.startswith("unknown key 'temprature'; did you mean 'temperature'?")


def test_what_does_not_fit_together_is_one_sentence_each():
    found = problems_of({"to": "x.csv", "suite": "a", "prompts": "b"}, PairsOptions)
    assert [line.split(" ")[0] for line in found] == ["pairs", "to=x.csv:"]
