"""What is added to finished cells, and what becomes of one that fails."""

from __future__ import annotations

from harness.evaluation.completion_tables import read_cell
from harness.evaluation.finished import add_to_each
from harness.judges import JudgeError
from harness.progress import silent
from results.cells import store
from tests.harness.judged import finished_cell


def test_a_cell_that_fails_stays_as_it_was_and_the_others_go_on(tmp_path):
    cells = [read_cell(finished_cell(tmp_path, loss, ["an answer"])) for loss in ("dpo", "ipo")]
    before = store.read_row(cells[0].folder)

    def measure(cell, advance):
        advance(1)
        if cell.row["loss"] == "dpo":
            raise JudgeError("no")
        return {"refusal_rate": 0.5}

    failures = add_to_each(cells, measure, silent(), title=lambda cell: cell.label, who="refusal=rule: ")
    assert failures == [f"{cells[0].label}: refusal=rule: no"]
    assert store.read_row(cells[0].folder) == before
    assert store.read_row(cells[1].folder)["refusal_rate"] == 0.5 and store.is_done(cells[1].folder)


def test_a_cell_that_another_command_holds_is_named(tmp_path):
    cell = read_cell(finished_cell(tmp_path, "dpo", ["an answer"]))
    with store.claim(cell.folder):
        (failure,) = add_to_each([cell], lambda cell, advance: {}, silent(), title=lambda cell: "")
    assert failure.startswith(f"{cell.label}: ") and "being worked on" in failure
