"""Suites are found by name, settings are the function's own, and wrong words get help."""

import subprocess
import sys

import pytest

import suites
from suites import Message, Pair, Suite, SuiteError, registry


@pytest.fixture
def toy(monkeypatch):
    """A registered suite that exists for one test only."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))

    @suites.register("toy", description="one pair", hub="someone/toy")
    def toy(*, subset: str | None = None, size: str = "1") -> Suite:
        row = Pair(subset or "x", (Message("user", size),), "a", "b", "c", "train")
        return Suite("toy", (row,), "pairs", read=1)

    return toy


def test_the_built_in_suites_are_registered_under_their_names():
    assert {"hh-rlhf", "imdb-sentiment"} <= set(suites.names())
    assert suites.names() == tuple(sorted(suites.names()))
    assert suites.get("hh-rlhf").hub == "Anthropic/hh-rlhf"
    assert suites.get("hh-rlhf").settings == {"path": None, "subset": None, "revision": None}
    assert suites.get("imdb-sentiment").hub is None


def test_registering_is_all_it_takes(toy):
    assert suites.get("toy").settings == {"subset": None, "size": "1"}
    assert suites.load("toy", {"subset": "s"}).rows[0].id == "s"
    assert suites.load("toy").rows[0].id == "x"


def test_a_name_cannot_be_taken_twice(toy):
    with pytest.raises(ValueError, match="'toy' is already registered"):
        suites.register("toy", description="again")(toy)


def test_settings_must_be_writable_on_a_command_line():
    with pytest.raises(ValueError, match="'where' must be keyword-only"):
        suites.register("bad", description="")(lambda where: None)
    with pytest.raises(TypeError, match="'size' must be text or None"):
        suites.register("bad", description="")(lambda *, size=3: None)
    assert "bad" not in suites.names()


def test_an_unknown_suite_names_the_nearest_one():
    with pytest.raises(SuiteError, match=r"unknown suite 'hh-rlf'; did you mean 'hh-rlhf'\? Known: .*hh-rlhf, imdb"):
        suites.load("hh-rlf", {})
    with pytest.raises(SuiteError, match=r"unknown suite 'zzz'\. Known: .*\.jsonl"):
        suites.load("zzz", {})


def test_a_hint_ends_a_sentence_with_the_nearest_word_or_a_full_stop():
    assert registry.did_you_mean("pth", {"path": None, "subset": None}) == "; did you mean 'path'?"
    assert registry.did_you_mean("zzz", ("path", "subset")) == "."


def test_an_unknown_setting_names_the_nearest_one():
    with pytest.raises(SuiteError, match=r"unknown setting 'pth' of suite 'hh-rlhf'; did you mean 'path'\?"):
        suites.load("hh-rlhf", {"pth": "x"})


def test_a_file_has_no_settings():
    with pytest.raises(SuiteError, match="is a file and has no settings; given: subset"):
        suites.load("mine.jsonl", {"subset": "x"})


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("datasets", "huggingface_hub", "pandas", "numpy", "pyarrow", "scipy", "torch", "transformers")
    code = f"import sys, suites; suites.names(); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
