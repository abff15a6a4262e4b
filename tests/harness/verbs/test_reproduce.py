"""The verb as a user meets it: lists, guesses, exit codes, what is missing."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.reproduce import catalogue
from harness.reproduce.catalogue import Recipe
from harness.reproduce.frame import Check, bound, number
from harness.verbs import reproduce
from suites import SuiteError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def known(monkeypatch):
    """Four recipes that need nothing heavy, one of each group."""

    def made(name: str, group: int, checks: list[Check]) -> Recipe:
        return Recipe(name, group, f"what {name} is", "a paper", f"needs of {name}", "seconds", lambda request: checks)

    match = number("dpo", "loss", 0.5, 0.5, 1e-3, "fine | good")
    found = {
        "good": made("good", 1, [match, bound("ipo, tau=1", "p", "small", 0.01, high=0.05)]),
        "bad": made("bad", 3, [match, number("ipo", "loss", 0.5, 0.9, 1e-3)]),
        "given": made("given", 2, [match]),
        "large": made("large", 4, [match]),
    }
    monkeypatch.setattr(reproduce, "recipes", lambda: found)
    return found


def test_the_list_names_every_recipe_with_group_and_needs(capsys):
    assert main(["reproduce", "list"]) == 0
    out = capsys.readouterr().out
    for recipe in catalogue.recipes().values():
        assert any(line.startswith(f"{recipe.name} ") and f" {recipe.group} " in line for line in out.splitlines())
    assert "nothing" in out and "path=FILE or DIR" in out and "packaged model" in out and "hub, 150 GiB GPU" in out


def test_the_list_imports_nothing_heavy():
    code = (
        "import sys; from harness.__main__ import main; main(['reproduce', 'list']); main(['reproduce', 'nope'])\n"
        "print(sorted({'torch', 'pandas', 'scipy', 'transformers'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_markdown_escapes_what_would_end_a_cell(known, capsys):
    assert main(["reproduce", "good", "format=markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "## good: what good is (a paper)"
    assert "| row | quantity | published | ours | allowed | verdict | note |" in lines
    assert "| dpo | loss | 0.5 | 0.5 | ± 0.001 | match | fine \\| good |" in lines


def test_a_mismatch_exits_1_and_a_match_0(known, capsys):
    assert main(["reproduce", "good"]) == 0
    assert main(["reproduce", "bad"]) == 1
    out = capsys.readouterr().out
    assert "bad: 1 match, 1 MISMATCH" in out and " threads, torch " in out  # of what is measured here, the machine


def test_rows_are_chosen_by_name_or_first_word(known, capsys):
    assert main(["reproduce", "bad", "rows=dpo"]) == 0
    assert "MISMATCH" not in capsys.readouterr().out
    assert main(["reproduce", "good", "rows=ipo"]) == 0
    assert "ipo, tau=1" in capsys.readouterr().out
    assert main(["reproduce", "good", "rows=dop"]) == 2
    assert "unknown row of good 'dop'; did you mean 'dpo'?" in capsys.readouterr().err


def test_all_runs_what_needs_nothing_and_names_the_needs_of_the_rest(known, capsys):
    assert main(["reproduce", "all"]) == 1
    out = capsys.readouterr().out
    assert "good: 2 match" in out and "bad: 1 match, 1 MISMATCH" in out
    assert "needs of given" in out and "needs of large" in out
    assert main(["reproduce", "all", "groups=1"]) == 0
    assert "bad" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["kto-tabel1"], "unknown recipe 'kto-tabel1'; did you mean 'kto-table1'?"),
        ([], "reproduce takes one name, `all` or `list`"),
        (["kto-table1", "archangel"], "seen 'kto-table1 archangel'"),
        (["kto-table1", "row=x"], "unknown key 'row' (did you mean 'rows'?)"),
        (["kto-table1", "format=html"], "format: unknown value 'html'"),
        (["kto-table1", "groups=1"], "groups= chooses among all"),
        (["all", "rows=dpo"], "rows= belongs to one recipe"),
        (["lr-cliff", "rows=dpo"], "rows= does nothing for lr-cliff"),
        (["all", "groups=5"], "groups: '5' is not a whole number 1 to 4"),
        (["kto-table1", "dpo.beta=1"], "unknown key 'dpo.beta'"),
        (["alpacaeval"], "alpacaeval needs published judgments: path=FILE"),
        (["alpacaeval", "path=nowhere.json"], "path=nowhere.json: no such file"),
        (["simpo-table4", "rows=dop"], "unknown row of simpo-table4 'dop'; did you mean 'dpo'?"),
        (["likelihood-displacement", "rows=unlikelyhood"], "unknown loss 'unlikelyhood'; did you mean 'unlikelihood'?"),
    ],
)
def test_what_cannot_be_done_is_said_and_exits_2(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *words]) == 2
    out, err = capsys.readouterr()
    assert told in err and err.startswith("error: ") and out == ""
    assert list(tmp_path.iterdir()) == []


def test_list_recipes_is_the_same_list_and_a_card_tells_protocol_and_commands(capsys):
    assert main(["reproduce", "list"]) == 0
    listed = capsys.readouterr().out
    assert main(["list", "recipes"]) == 0
    assert capsys.readouterr().out == listed
    assert main(["list", "recipes", "simpo-table4"]) == 0
    card = " ".join(capsys.readouterr().out.split())
    assert "protocol AlpacaEval 2" in card and "simpo.gamma_beta_ratio=0.8" in card and "losses=dpo,simpo" in card
    assert main(["list", "recipes", "simpo-tabel4"]) == 2
    assert "did you mean 'simpo-table4'?" in capsys.readouterr().err


def test_a_recipe_of_all_that_lacks_something_stops_nothing(known, monkeypatch, capsys):
    def lacks(request):
        raise SuiteError("the reviews are not here")

    broken = replace(known["bad"], run=lacks)
    monkeypatch.setattr(reproduce, "recipes", lambda: {"broken": broken, "good": known["good"]})
    assert main(["reproduce", "all"]) == 0
    out = capsys.readouterr().out
    assert "good: 2 match" in out and "the reviews are not here" in out
