"""Generated completions as tables, and prompts as judges read them."""

import json

import pytest

from harness.evaluation.completion_tables import JudgePrompt, baseline_completions, prompt_table, read_cell, transcript
from harness.judges import JudgeError
from suites import Message
from tests.harness.judged import finished_cell


def test_a_single_question_is_read_as_it_is_and_a_conversation_with_who_speaks():
    assert transcript((Message("user", " Why?\n"),)) == " Why?\n"
    spoken = [("system", "Be kind."), ("user", "Why?"), ("assistant", "So."), ("user", "How?")]
    turns = tuple(Message(*turn) for turn in spoken)
    assert transcript(turns) == "Be kind.\n\nHuman: Why?\n\nAssistant: So.\n\nHuman: How?"


def test_completions_are_read_with_their_prompts_from_beside_them_or_from_the_run(tmp_path):
    folder = finished_cell(tmp_path, "dpo", ["good", "line\u2028break"], prompts=[None, "its own"])
    cell = read_cell(folder)
    assert list(cell.completions["answer"]) == ["good", "line\u2028break"] and cell.label == "dpo-dpo"
    table = prompt_table(cell, {"0": JudgePrompt("from the run"), "1": JudgePrompt("not this")})
    assert list(table["prompt"]) == ["from the run", "its own"]


@pytest.mark.parametrize("line", ["[1]", "{", '{"prompt_id": "0", "cluster_id": "c"}', "3"])
def test_a_damaged_line_is_named(tmp_path, line):
    folder = finished_cell(tmp_path, "dpo", ["good"])
    (folder / "row.json").write_text(
        json.dumps(
            json.loads((folder / "row.json").read_text())
            | {"files": {"cell.json": json.loads((folder / "row.json").read_text())["files"]["cell.json"]}}
        )
    )
    path = folder / "generations.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(JudgeError, match="generations.jsonl, line 2: no completion"):
        read_cell(folder)


def test_a_cell_without_completions_says_how_to_get_them(tmp_path):
    folder = finished_cell(tmp_path, "dpo", None)
    with pytest.raises(JudgeError, match="generate=N"):
        read_cell(folder)
    with pytest.raises(JudgeError, match="no finished cell"):
        read_cell(tmp_path)


def test_the_baseline_is_the_untrained_control_of_the_same_protocol_or_the_chosen_completions(tmp_path):
    cells = [
        read_cell(finished_cell(tmp_path, name, [name], protocol=protocol))
        for name, protocol in (("none", "q"), ("dpo", "p"))
    ]
    with pytest.raises(JudgeError, match="controls=true"):
        baseline_completions(cells[1], cells, "reference", {})
    cells.append(read_cell(finished_cell(tmp_path, "none", ["mine"], protocol="p", cell="none2")))
    assert list(baseline_completions(cells[1], cells, "reference", {})["answer"]) == ["mine"]
    chosen = baseline_completions(cells[1], cells, "chosen", {"0": JudgePrompt("q", "the chosen one", 4)})
    assert list(chosen["answer"]) == ["the chosen one"] and list(chosen["tokens"]) == [4]
    with pytest.raises(JudgeError, match="judge.baseline=reference"):
        baseline_completions(cells[1], cells, "chosen", {"0": JudgePrompt("q")})
