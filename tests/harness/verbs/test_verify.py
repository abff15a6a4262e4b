"""`verify` on cells that a sweep really made."""

from __future__ import annotations

import json

from harness.__main__ import main
from results.cells import store


def test_a_fresh_sweep_verifies_and_an_edited_one_does_not(command, tmp_path, capsys):
    command("losses=dpo", "controls=false")
    runs = tmp_path / "runs"
    capsys.readouterr()
    assert main(["verify", str(runs)]) == 0
    assert "1 cells verified" in capsys.readouterr().out
    (folder,) = (runs / "pairs").glob("dpo-*")
    row = store.read_row(folder)
    (folder / "row.json").write_text(json.dumps(row | {"preference_accuracy": 0.123}))
    cell = json.loads((folder / "cell.json").read_text())
    (folder / "cell.json").write_text(json.dumps(cell | {"lr": 0.5}))
    assert main(["verify", str(runs)]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert any("cell.json: was edited" in line and "run the command again" in line for line in shown)
    assert any("is the identity of cell" in line for line in shown)
    assert shown[-1].endswith("(1 done): 2 findings")


def test_wrong_words_are_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for words, said in (
        ([str(tmp_path / "nowhere")], "No cells at"),
        ([str(tmp_path / "empty")], "No cells at"),
        (["a", "b"], "one path at most"),
        (["runs", "losses=dpo"], "add rerun=CELL"),
        (["runs", "rerunn=x"], "did you mean 'rerun'"),
    ):
        assert main(["verify", *words]) == 2
        assert said in capsys.readouterr().err
