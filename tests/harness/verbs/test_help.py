"""The help texts: every verb has one, and what they show to copy is accepted."""

import shlex

import pytest

from harness import __main__ as door
from harness.options.cards import kinds, make, values_of
from harness.options.words import split
from harness.verbs.help import VERBS, of_verb, overview, unknown_verb


def first_words(text):
    return {line.split()[0] for line in text.splitlines() if line and not line.startswith(" ")}


def test_every_verb_of_the_command_line_is_explained_and_no_other():
    assert set(VERBS) == set(door.VERBS)


def test_the_overview_has_a_line_for_each_verb_and_a_first_command():
    lines = overview().splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ") and "python" not in line] == list(VERBS)
    assert lines[-1] == "  python -m harness run suite=imdb-sentiment losses=dpo,ipo"


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_says_what_it_does_how_it_is_written_and_an_example(verb):
    lines = of_verb(verb).splitlines()
    assert lines[0] == f"{verb}: {VERBS[verb]}"
    assert any(line.startswith(f"usage: python -m harness {verb} ") for line in lines)
    examples = [line for line in lines if line.startswith("  python -m harness ")]
    assert lines.index("examples:") + 1 == lines.index(examples[0])
    assert all(line.split()[3] == verb for line in examples)


@pytest.mark.parametrize(
    ("verb", "shown", "hidden"),
    [
        ("run", {"losses", "train_pairs", "device_hour_price"}, set()),
        ("plan", {"losses", "train_pairs", "device_hour_price"}, set()),
        ("evaluate", {"model", "reference", "eval_pairs"}, {"losses", "lrs", "train_pairs"}),
        ("pairs", {"prompts", "score", "to"}, {"losses", "lrs", "train_pairs"}),
        ("report", set(), {"losses", "train_pairs"}),
    ],
)
def test_the_verbs_that_take_keys_list_theirs(verb, shown, hidden):
    words = first_words(of_verb(verb))
    assert shown <= words and not hidden & words


def test_the_help_of_run_lists_keys_with_defaults():
    assert any(line.startswith("train_pairs ") and " 512 " in line for line in of_verb("run").splitlines())


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_the_examples_in_the_help_are_accepted_words(verb):
    marker = f"  python -m harness {verb} "
    examples = [line for line in of_verb(verb).splitlines() if line.startswith(marker)]
    assert examples
    for line in examples:
        words = split(shlex.split(line.removeprefix(marker)), kinds())
        assert words.errors == []
        make(values_of(words))


def test_an_unknown_verb_has_a_guess_and_a_way_on():
    sentence = unknown_verb("rnu")
    assert sentence.startswith("unknown verb 'rnu'; did you mean 'run'?")
    assert sentence.endswith("`python -m harness --help` explains them.")
