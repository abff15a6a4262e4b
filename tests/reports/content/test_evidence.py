"""What a report reads beside the rows."""

import pandas

import results
from reports.content.evidence import held_out_tables, read_evidence
from results.cells import store


def test_curves_findings_and_test_rows_are_kept_by_cell(tested_runs) -> None:
    runs = results.read(tested_runs)
    found = read_evidence(tested_runs, runs)
    assert set(found.tables) == set(found.findings) == set(runs["cell"]) and found.curves == {} and found.audits == {}
    assert all((table["split"] == "test").all() and len(table) == 90 for table in found.tables.values())
    assert found.tuning.empty


def test_only_the_rows_asked_for_are_diagnosed(tested_runs) -> None:
    runs = results.read(tested_runs)
    wanted = runs[runs["loss"] == "dpo"]
    found = read_evidence(tested_runs, wanted)
    assert set(found.findings) == set(found.tables) == set(wanted["cell"])


def test_the_tables_that_verdicts_are_tested_on_are_of_the_last_evaluation_and_its_test_rows(make, tmp_path) -> None:
    row = make.cell("dpo")
    pairs = pandas.DataFrame(
        {
            "pair_id": ["a", "b", "a", "b"],
            "cluster_id": ["a", "b", "a", "b"],
            "split": ["test", "validation"] * 2,
            "step": [1, 1, 4, 4],
            **dict.fromkeys(("policy_chosen_logp", "policy_rejected_logp"), -1.0),
            **dict.fromkeys(("reference_chosen_logp", "reference_rejected_logp"), -1.0),
            **dict.fromkeys(("chosen_tokens", "rejected_tokens", "prompt_tokens"), 2),
        }
    )
    folder = store.cell_folder(tmp_path, row["suite"], "dpo", row["cell"])
    store.write_cell(folder, cell={}, row=row, pairs=pairs, curve=make.curve(), log="")
    (table,) = held_out_tables(tmp_path).values()
    assert table[["pair_id", "step"]].to_numpy().tolist() == [["a", 4]]
    assert list(read_evidence(tmp_path, results.read(tmp_path)).curves) == [row["cell"]]


def test_a_folder_without_pair_tables_has_none(make, tmp_path) -> None:
    assert held_out_tables(make.store(tmp_path, [make.cell("dpo")])) == {}
