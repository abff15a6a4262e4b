"""What rates completions: a known reward, or the log-ratio of a trained cell."""

from __future__ import annotations

import pytest

import results
import suites
from harness.errors import UsageError
from harness.judges.scorers import make_scorer
from results.cells import store
from suites import Message, rewards
from suites.sampled import Prompt
from tests.harness.conftest import Vowels
from tests.harness.judged import PAIRS

ASKED = [Prompt("a", (Message("user", "one"), Message("assistant", "two"), Message("user", "three")), "c", "train")]


@pytest.fixture(autouse=True)
def toy_reward():
    rewards.register_reward("toy")(Vowels)
    yield
    rewards._makers.pop("toy")
    rewards.get.cache_clear()


def test_gold_is_the_suites_own_reward_and_another_suites_can_be_named():
    for spec, suite in (("gold", "toy"), ("gold:toy", None), ("gold:toy", "imdb-sentiment")):
        scorer = make_scorer(spec, suite, "cpu")
        assert scorer.id == "gold:vowels-1" and scorer.score(ASKED, ["aeiou"]) == [5.0]


def test_a_reward_reads_the_last_user_turn(monkeypatch):
    read = []
    monkeypatch.setattr(Vowels, "score", lambda self, prompts, completions: read.extend(prompts) or [1.0])
    assert make_scorer("gold:toy", None, "cpu").score(ASKED, ["x"]) == [1.0] and read == ["three"]


@pytest.mark.parametrize("spec", ["best", "implicit", "implicit:", "golden:toy", ""])
def test_a_name_that_is_not_known_is_refused_with_those_that_are(spec):
    with pytest.raises(UsageError, match=f"score={spec}: not known; write gold, gold:SUITE, or implicit:CELL"):
        make_scorer(spec, "toy", "cpu")


@pytest.mark.parametrize(("spec", "suite"), [("gold", None), ("gold", "hh-rlhf"), ("gold:nowhere", "toy")])
def test_a_suite_without_a_known_reward_is_refused(spec, suite):
    with pytest.raises(UsageError, match="^score: no known reward '"):
        make_scorer(spec, suite, "cpu")


@pytest.fixture
def stored(tmp_path):
    """A finished cell that nobody trained, with a folder for its model."""

    def write(*, start="model", with_model=True):
        folder = store.cell_folder(tmp_path / "runs", "toy", "dpo", "abc")
        folder.mkdir(parents=True)
        row = {"loss": "dpo", "cell": "abc", "protocol": "p", "start": start, "model": "tiny"}
        store.write_cell(folder, cell={"model": "another digest"}, row=row, pairs=PAIRS, curve=None, log="")
        if with_model:
            (folder / store.MODEL).mkdir()
        return f"implicit:{folder}"

    return write


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"with_model": False}, "no finished cell with its model lies there; train it with save=all"),
        ({"start": "sft"}, "it began at start=sft, whose weights are not kept"),
        ({}, "its reference was another model than tiny is now"),
    ],
)
def test_a_cell_whose_policy_and_reference_are_not_both_there_is_refused(stored, given, why):
    spec = stored(**given)
    with pytest.raises(UsageError) as caught:
        make_scorer(spec, None, "cpu")
    (message,) = caught.value.messages
    assert message.startswith(f"score={spec}: ") and why in message


def test_the_implicit_reward_of_a_cell_is_its_log_ratio(command, pairs_file, tmp_path):
    command("losses=dpo", "controls=false", "save=all")
    (folder,) = (tmp_path / "runs" / "pairs").glob("dpo-*")
    scorer = make_scorer(f"implicit:{folder}", None, "cpu")
    table = results.pairs(tmp_path / "runs").set_index("pair_id")
    rows = [row for row in suites.load(str(pairs_file)).rows if row.id in table.index]
    asked = [Prompt(row.id, row.prompt, row.cluster, row.split) for row in rows]
    for side in ("chosen", "rejected"):
        scores = scorer.score(asked, [getattr(row, side) for row in rows])
        expected = table.loc[[row.id for row in rows]]
        ratio = expected[f"policy_{side}_logp"] - expected[f"reference_{side}_logp"]
        assert scores == pytest.approx(list(ratio), abs=1e-3)
    assert folder.name.split("-")[1] in scorer.id
    assert scorer.score(asked[:1], [""]) == scorer.score(asked[:1], ["."])  # no row, so any text stands in for it
