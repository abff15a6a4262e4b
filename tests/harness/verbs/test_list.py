"""`list`: every kind completions, cards are complete, and wrong words are refused."""

import re

import pytest

import losses
import suites
from harness.errors import UsageError
from harness.options.cards import kinds
from harness.options.models import ENTRIES
from harness.verbs.list import KINDS, listing
from results.schema.row import ROW_COLUMNS


def problem_of(*argv):
    with pytest.raises(UsageError) as caught:
        listing(argv)
    (message,) = caught.value.messages
    return message


def first_words(text):
    return [line.split()[0] for line in text.splitlines() if line and not line.startswith(" ")]


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "listed.py"
    path.write_text(
        "import losses\n"
        "@losses.register('plugged_for_listing', needs={'reference'}, formula='-h')\n"
        "def mine(pair: losses.PairBatch, *, beta: float = 0.1):\n"
        "    return -beta * pair.chosen.total\n"
    )
    yield path
    losses.registry._losses.pop("plugged_for_listing", None)


def test_without_a_kind_the_kinds_are_named():
    assert all(kind in listing([]) for kind in ("losses", "suites", "models", "metrics", "options"))


@pytest.mark.parametrize("kind", KINDS)
def test_lines_fit_the_width_and_hold_no_trailing_blanks(kind, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    lines = listing([kind]).splitlines()
    assert max(map(len, lines)) <= 120 or kind == "losses"  # a loss's name and defaults may be longer
    assert all(line == line.rstrip() for line in lines)


def test_every_registered_loss_suite_model_option_and_column_is_listed():
    assert set(losses.names()) <= set(first_words(listing(["losses"])))
    assert set(suites.names()) <= set(first_words(listing(["suites"])))
    assert set(ENTRIES) <= set(first_words(listing(["models"])))
    assert set(kinds()) <= set(first_words(listing(["options"])))
    assert {column.name for column in ROW_COLUMNS} <= set(first_words(listing(["metrics"])))


def test_a_losss_card_is_its_contract():
    text = listing(["losses", "simpo"])
    loss = losses.get("simpo")
    for part in ["pairwise", loss.paper, "beta=2", "gamma_beta_ratio=0.5", "beta=2,2.5,10", "mean_log_prob"]:
        assert part in text
    assert "policy == reference: value" in text and "value - swapped value" in text
    assert re.search(r"lr_scale +10:", listing(["losses", "orpo"]))
    assert "beta=0.1,0.5,2" in listing(["losses", "dpo"])  # the packaged model's grid


def test_every_loss_has_one_line():
    lines = [line for line in listing(["losses"]).splitlines() if line]
    assert len(lines) == 1 + len(losses.names()) + 1


def test_a_weighted_sum_has_a_card(monkeypatch):
    monkeypatch.setattr(losses.registry, "_losses", dict(losses.registry._losses))
    text = listing(["losses", "dpo+0.2*sft"])
    assert text.startswith("dpo_plus_sft_x0p2")
    assert "(-ls(beta*h)) + 0.2*(-cbar)" in text


def test_a_plugins_loss_is_listed_beside_the_others(plugin):
    assert "plugged_for_listing" in first_words(listing(["losses", f"plugins={plugin}"]))
    card = listing(["losses", "plugged_for_listing", f"plugins={plugin}"])
    assert str(plugin) in "".join(card.split())  # a long path is wrapped


def test_a_suites_card_names_its_settings():
    text = listing(["suites", "hh-rlhf"])
    assert "Anthropic/hh-rlhf" in text
    assert "suite.subset=" in text


def test_the_list_of_suites_names_their_hub_ids():
    text = "".join(listing(["suites"]).split())
    assert all(suites.get(name).hub in text for name in suites.names() if suites.get(name).hub)


def test_a_metrics_card_says_unit_and_direction():
    text = listing(["metrics", "preference_accuracy"])
    assert "better" in text
    assert " up\n" in text


def test_the_letters_of_the_metrics_are_explained_where_they_are_used():
    for asked in (["metrics"], ["metrics", "margin"]):
        assert "a = c - c0, d = r - r0, h = a - d." in " ".join(listing(asked).split())


def test_an_options_card_says_what_a_comma_does():
    assert "each value gives its own cells" in listing(["options", "betas"])
    assert "one value only" in listing(["options", "model"])


@pytest.mark.parametrize(
    ("argv", "guess"),
    [
        (("loses",), "'losses'"),
        (("losses", "dop"), "'dpo'"),
        (("suites", "hh-rlh"), "'hh-rlhf'"),
        (("models", "tinny"), "'tiny'"),
        (("metrics", "margn"), "'margin'"),
        (("options", "beta"), "'betas'"),
    ],
)
def test_a_wrong_name_has_a_guess(argv, guess):
    assert f"did you mean {guess}" in problem_of(*argv)


@pytest.mark.parametrize(
    "argv",
    [("losses", "dpo", "ipo"), ("suites", "plugins=x.py"), ("losses", "plugins=no.py"), ("models", "a=b")],
)
def test_words_that_a_kind_does_not_take_are_refused(argv):
    assert problem_of(*argv)
