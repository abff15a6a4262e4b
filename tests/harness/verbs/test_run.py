"""`run`: who tells the story, and what the sweep is given."""

from __future__ import annotations

import sys
import types
from contextlib import contextmanager

import pytest

from harness.compute import ranks
from harness.errors import UsageError
from harness.verbs.run import main

GOOD = ["suite=imdb-sentiment", "losses=dpo"]


@pytest.fixture
def sweep(monkeypatch):
    """Stands in for the sweep: records what it was given and ends with the code that the test sets."""
    seen = types.SimpleNamespace(calls=[], code=0)

    def run(*given):
        seen.calls.append(given)
        return seen.code

    monkeypatch.setitem(sys.modules, "harness.sweeps.run", types.SimpleNamespace(run=run))
    return seen


@pytest.fixture
def several(monkeypatch):
    """Sets the environment of one process of a launch of two."""

    def start(rank: int) -> None:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")

    return start


def test_the_sweep_is_given_options_progress_and_the_command_to_repeat(sweep):
    sweep.code = 1
    assert main([*GOOD, "out=my runs"]) == 1
    ((options, progress, text),) = sweep.calls
    assert options.losses == ("dpo",)
    assert callable(progress.cell_started)
    assert text == "python -m harness run suite=imdb-sentiment losses=dpo 'out=my runs'"


def test_warnings_are_printed_before_the_run(sweep, capsys):
    assert main(["suite=imdb-sentiment", "losses=dpo,simpo", "betas=0.1"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("warning: betas= gives dpo (0.1), simpo (2)")
    assert out == ""


def test_wrong_words_begin_no_sweep(sweep):
    with pytest.raises(UsageError, match="did you mean 'dpo'"):
        main(["suite=imdb-sentiment", "losses=dop"])
    assert sweep.calls == []


def test_the_first_of_several_processes_leads_while_the_sweep_runs(sweep, several, monkeypatch):
    several(0)
    around = []

    @contextmanager
    def leading():
        around.append(len(sweep.calls))
        yield
        around.append(len(sweep.calls))

    monkeypatch.setattr(ranks, "leading", leading)
    sweep.code = 1
    assert main(GOOD) == 1 and around == [0, 1]


def test_another_process_follows_and_reads_no_words(sweep, several, monkeypatch):
    several(1)
    monkeypatch.setitem(sys.modules, "harness.engines.followers", types.SimpleNamespace(follow=lambda: 7))
    assert main(["no word of these is read"]) == 7 and sweep.calls == []
