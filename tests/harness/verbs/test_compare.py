"""`compare`: the verb prints the verdicts, and refuses what it cannot compare."""

import pytest

from harness.__main__ import main
from results.cells import store
from results.cells.frames import read_parquet
from results.schema.row import PAIR_COLUMNS


@pytest.fixture
def runs(tmp_path):
    """Three seeds of dpo and one of ipo, on the same eight rows."""
    import pandas as pd

    for loss, seeds in (("dpo", 3), ("ipo", 1)):
        for seed in range(seeds):
            right = [1.0 if place % 4 != seed else -1.0 for place in range(8)]
            table = pd.DataFrame(
                {
                    "pair_id": [str(place) for place in range(8)],
                    "cluster_id": [str(place) for place in range(8)],
                    "split": "test",
                    "step": 4,
                    "policy_chosen_logp": [-5 + h for h in right],
                    "policy_rejected_logp": -5.0,
                    "reference_chosen_logp": -5.0,
                    "reference_rejected_logp": -5.0,
                    "chosen_tokens": 3,
                    "rejected_tokens": 4,
                    "prompt_tokens": 2,
                }
            )
            row = {"loss": loss, "cell": f"{loss}{seed}", "seed": seed, "protocol": "p", "control": False}
            folder = store.cell_folder(tmp_path / "runs", "toy", loss, f"{loss}{seed}")
            store.write_cell(folder, cell={}, row=row, pairs=table, curve=None, log="")
    return tmp_path / "runs"


def test_the_verb_prints_one_line_a_comparison(runs, capsys):
    assert main(["compare", str(runs)]) == 0
    out = capsys.readouterr().out
    assert "1 seed: no claim" in out and "preference_accuracy of held-out test rows in 8 clusters" in out
    assert main(["compare", str(runs / "toy"), "loss=dpo,ipo", "metric=margin"]) == 0
    assert "margin of held-out test rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["loss=dpo,dpp"], "no finished cell of 'dpp'; there are: dpo, ipo"),
        (["loss=dpo"], "Nothing to compare"),
        (["metric=margn"], "did you mean 'margin'"),
        (["losss=dpo"], "unknown key 'losss' (did you mean 'loss'?)"),
        (["dpo.beta=1"], "unknown key 'dpo.beta'. Known: loss, against, metric, search"),
        (["elsewhere"], "No runs at 'elsewhere'"),
        (["search=x"], "no search 'x' at"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(words, told, runs, capsys):
    assert main(["compare", str(runs), *words]) == 2
    assert told in capsys.readouterr().err


def test_what_was_left_out_is_said_where_nothing_is_left_to_compare(runs, capsys):
    spoilt = runs / "toy" / "ipo-ipo0" / "row.json"
    spoilt.write_text("{")
    assert main(["compare", str(runs), "loss=dpo,ipo"]) == 2
    assert f"warning: skipped {spoilt}: " in capsys.readouterr().err


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    assert main(["compare", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err


def copied(runs, to, change=lambda row: row):
    """The same cells in another folder, each row changed."""
    for file in sorted(runs.rglob("row.json")):
        row = change(store.read_row(file.parent))
        folder = to / "toy" / file.parent.name
        pairs = read_parquet(file.parent / store.PAIRS, PAIR_COLUMNS, "pair")
        row = {name: value for name, value in row.items() if name != "files"}
        cell = {"precision": row.get("precision", "fp32")}
        store.write_cell(folder, cell=cell, row=row, pairs=pairs, curve=None, log="")
    return to


def test_two_folders_are_joined_and_ranked_where_they_share_a_protocol(runs, tmp_path, capsys):
    other = copied(runs, tmp_path / "other", lambda row: row | {"device": "another"})
    assert main(["compare", str(runs), str(other), "metric=margin"]) == 0
    out = capsys.readouterr().out
    assert "margin of 4 cells that both hold" in out and "device" in out and "1 seed: no claim" in out


def test_folders_of_other_protocols_are_not_ranked_and_the_field_is_named(runs, tmp_path, capsys):
    other = copied(runs, tmp_path / "other", lambda row: row | {"protocol": "q", "precision": "bf16"})
    assert main(["compare", str(runs), str(other)]) == 2
    told = capsys.readouterr().err
    assert told.count("not ranked together: protocol p of") == told.count("error: ") == 1
    assert "precision is None and bf16" in told
    assert main(["compare", str(runs), str(other), "third"]) == 2
    assert "compare takes one path or two" in capsys.readouterr().err
