"""`suites.load` is the function, wherever it is imported from; plug-ins, files and mixtures load through it."""

import json
import subprocess
import sys

import pytest

import suites
from suites import Message, Pair, Suite, SuiteError, registry
from suites.load import load, load_mixture

PROMPT = (Message("user", "Tea?"),)


@pytest.fixture
def own_registry(monkeypatch):
    """What a test registers is gone afterwards."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))


def row(row_id: str = "1", split: str = "train", cluster: str = "c") -> Pair:
    return Pair(row_id, PROMPT, "Yes.", "No.", cluster, split)


def registered(suite: Suite) -> None:
    """The suite under its own name."""

    @suites.register(suite.name, description=suite.name)
    def made() -> Suite:
        return suite


def test_the_package_attribute_is_the_function_and_not_its_module():
    code = (
        "import suites.load, suites; from suites.load import load; from suites import load as other; "
        "assert suites.load is load is other and callable(load); print(load.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "suites.load"


def test_a_registered_suite_loads_with_its_settings(tmp_path):
    (tmp_path / "helpful-base").mkdir()
    sides = {"chosen": "\n\nHuman: Tea?\n\nAssistant: Yes.", "rejected": "\n\nHuman: Tea?\n\nAssistant: No."}
    (tmp_path / "helpful-base" / "train.jsonl").write_text(json.dumps(sides))
    for way in (suites.load, load):
        (only,) = way("hh-rlhf", {"path": str(tmp_path)}).rows
        assert (only.id, only.prompt, only.chosen, only.rejected) == ("helpful-base/train/0", PROMPT, "Yes.", "No.")


def test_a_suite_of_a_users_own_module_loads_once_it_is_imported(own_registry, tmp_path, monkeypatch):
    (tmp_path / "my_suites_for_tests.py").write_text(
        "import suites\n"
        "from suites.load import load\n"
        "@suites.register('swapped', description='persona with its answers swapped')\n"
        "def swapped(*, answers: str = 'yes_no') -> suites.Suite:\n"
        "    rows = load('persona', {'answers': answers}).rows[:2]\n"
        "    turned = [suites.Pair(r.id, r.prompt, r.rejected, r.chosen, r.cluster, r.split) for r in rows]\n"
        "    return suites.Suite('swapped', turned, 'pairs', read=2)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("my_suites_for_tests")
    assert [(r.chosen, r.rejected) for r in suites.load("swapped").rows] == [(" No", " Yes")] * 2
    with pytest.raises(SuiteError, match="suite.answers=maybe"):
        suites.load("swapped", {"answers": "maybe"})
    sys.modules.pop("my_suites_for_tests")


def test_a_registered_name_wins_over_a_file_of_that_name(own_registry):
    @suites.register("mine.jsonl", description="named like a file")
    def mine(*, size: str = "1") -> Suite:
        return Suite("mine", [row(size)], "pairs", read=1)

    assert suites.load("mine.jsonl", {"size": "7"}).rows[0].id == "7"


def test_a_mixture_adds_up_its_parts_and_what_they_dropped(own_registry):
    for name, dropped in (("toy-a", {"tie": 1}), ("toy-b", {"tie": 2, "identical": 4})):
        registered(Suite(name, [row(cluster=name)], "pairs", dropped, 1 + sum(dropped.values()), name, "revision"))
    mixed = load_mixture("toy-a*3+toy-b", {})
    assert [(r.id, r.source) for r in mixed.rows] == [("toy-a/1", "toy-a"), ("toy-b/1", "toy-b")]
    assert (dict(mixed.dropped), mixed.read) == ({"tie": 3, "identical": 4}, 9)
    assert (mixed.name, mixed.source) == ("toy-a_x3_plus_toy-b_x1", "toy-a; toy-b")


def test_a_suite_that_a_model_has_yet_to_answer_cannot_be_mixed_in():
    with pytest.raises(SuiteError, match="mixes in imdb-sentiment, whose responses a model has yet to give"):
        suites.load("persona+imdb-sentiment")
