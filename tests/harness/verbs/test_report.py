"""The verb `report`: its words, its files, its errors."""

from __future__ import annotations

import pytest

from harness.__main__ import main
from results.cells import store


@pytest.fixture
def runs(tmp_path):
    """A folder with one finished cell and one row that cannot be read."""
    row = {
        "loss": "dpo",
        "cell": "c",
        "suite": "toy",
        "protocol": "p",
        "status": "done",
        "control": False,
        "beta": 0.1,
        "lr": 1e-5,
        "seed": 0,
        "hyperparameters": "{}",
        "preference_accuracy": 0.61,
        "preference_accuracy_se": 0.03,
        "kl": 2.0,
    }
    folder = store.cell_folder(tmp_path / "runs", "toy", "dpo", "c")
    store.write_cell(folder, cell={}, row=row, pairs=None, curve=None, log="")
    broken = tmp_path / "runs" / "toy" / "ipo-x"
    broken.mkdir()
    (broken / "row.json").write_text("{")
    return tmp_path / "runs"


def test_the_report_is_written_and_its_table_and_paths_printed(runs, capsys):
    assert main(["report", str(runs)]) == 0
    out, err = capsys.readouterr()
    assert "0.610" in out and str(runs / "report.html") in out.splitlines()
    assert err.count("warning: skipped") == 1 and "ipo-x" in err
    assert (runs / "report.md").read_text().startswith("# Preference losses compared")


def test_tables_and_figures_are_files_of_their_own(runs, capsys):
    assert main(["report", str(runs), "tables=latex,markdown,csv", "metrics=preference_accuracy,kl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ("main.tex", "main.md", "main.csv"):
        assert str(runs / "tables" / name) in lines
    table = (runs / "tables" / "main.md").read_text()
    assert table.startswith("| loss | beta | lr | preference accuracy ± se ↑ | KL, nats ± se |")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a", "b"], ["report takes one path"]),
        (["--all"], ["report takes one path"]),
        (["suite.path=x"], ["unknown key 'suite.path'. Known: tables, figures, metrics"]),
        (["out=runs"], ["out"]),
        (["nowhere"], ["no such folder: nowhere"]),
        (["tables=latx"], ["unknown table 'latx'", "did you mean 'latex'"]),
        (["figures=jpg"], ["unknown figure 'jpg'", "svg, png"]),
        (["tables=csv", "metrics=prefrence_accuracy"], ["unknown metric", "did you mean 'preference_accuracy'"]),
        (["metrics=kl"], ["add tables=latex"]),
        (["tables=x", "figures=y", "nowhere"], ["unknown table 'x'", "unknown figure 'y'", "no such folder"]),
    ],
)
def test_wrong_words_are_all_told_at_once_and_nothing_is_written(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *words]) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in told), error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_cells_is_an_error(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "No runs at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
