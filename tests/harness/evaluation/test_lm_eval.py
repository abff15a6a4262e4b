"""lm-eval tasks: which are taken, what a result becomes, and the packaged task measured for real."""

from __future__ import annotations

import json

import pytest

from harness.evaluation import lm_eval
from harness.evaluation.lm_eval import CapabilityError, Request, Score
from harness.options.tasks import HUB_TASKS, PACKAGED, QUESTIONS, problem_of, task_digest


def write_task(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.yaml").write_text(text)
    return folder


def test_the_packaged_questions_are_whole_and_the_right_answer_has_no_favourite_place():
    rows = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
    assert len(rows) == 48 and len({row["question"] for row in rows}) == 48
    assert all(len(set(row["choices"])) == 4 and row["choices"][row["answer"]] for row in rows)
    assert [sum(row["answer"] == place for row in rows) for place in range(4)] == [12] * 4


def test_known_tasks_are_described_in_the_installed_lm_eval_and_need_no_script():
    for task, folder in HUB_TASKS.items():
        texts = [path.read_text() for path in lm_eval._folder(task).rglob("*.yaml")]
        assert any(f"task: {task}\n" in text for text in texts), (task, folder)
        assert problem_of(task) is None
    assert problem_of(PACKAGED) is None


def test_a_wrong_task_is_told_with_the_nearest_and_the_known_ones(tmp_path):
    assert "did you mean 'hellaswag'" in problem_of("helaswag")
    assert "no lm-eval task file" in problem_of(str(tmp_path))
    assert problem_of(str(write_task(tmp_path / "plain", "task: mine\n"))) is None
    with_code = write_task(tmp_path / "code", "task: mine\nprocess_docs: !function utils.process\n")
    assert "runs code" in problem_of(str(with_code))


def test_a_missing_library_is_told(monkeypatch):
    monkeypatch.setattr(lm_eval.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'preference-harness[eval]'" in problem_of("everyday")


def test_a_tasks_digest_follows_its_files(tmp_path):
    folder = write_task(tmp_path / "t", "task: mine\n")
    first = task_digest(str(folder))
    assert first == task_digest(str(folder)) != task_digest("everyday")
    write_task(folder, "task: mine\nnum_fewshot: 1\n")
    assert task_digest(str(folder)) != first


def test_the_reported_metric_is_taken_with_its_error_and_items():
    values = {"alias": "t", "acc,none": 0.5, "acc_stderr,none": 0.1, "acc_norm,none": 0.75, "acc_norm_stderr,none": 0.2}
    samples = [{"doc_id": i, "acc": 0.0, "acc_norm": float(i < 3)} for i in range(4)]
    assert lm_eval._score("t", values, samples) == Score(
        "t", "acc_norm", 0.75, 0.2, {"0": 1.0, "1": 1.0, "2": 1.0, "3": 0.0}
    )
    words = {"word_perplexity,none": 12.0, "word_perplexity_stderr,none": "N/A"}
    assert lm_eval._score("w", words, [{"doc_id": 0, "word_perplexity": (1, 2)}]) == Score(
        "w", "word_perplexity", 12.0, None, {}
    )
    with pytest.raises(CapabilityError, match="gives no number"):
        lm_eval._score("n", {"alias": "n"}, [])


LOCAL = """\
task: colours
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
doc_to_choice: "{{{{choices}}}}"
metric_list:
  - metric: acc
"""


@pytest.mark.slow
def test_the_packaged_task_and_a_folders_are_measured_in_a_process_of_their_own(source, tmp_path):
    data = tmp_path / "colours.jsonl"
    data.write_text(
        "".join(json.dumps({"question": f"{i}?", "choices": ["red", "blue"], "answer": i % 2}) + "\n" for i in range(6))
    )
    folder = write_task(tmp_path / "tasks", LOCAL.format(data=data))
    everyday, colours = lm_eval.measure(Request(str(source.folder), "", ("everyday", str(folder))))
    assert everyday.metric == "acc_norm" and len(everyday.items) == 48
    assert everyday.value == pytest.approx(sum(everyday.items.values()) / 48) and 0 < everyday.se < 0.1
    assert (colours.task, colours.metric, len(colours.items)) == ("colours", "acc", 6)


@pytest.mark.slow
def test_a_model_that_is_not_there_is_told_with_the_cause(tmp_path):
    with pytest.raises(CapabilityError, match="lm_eval=everyday cannot be measured"):
        lm_eval.measure(Request(str(tmp_path), "", ("everyday",)))
