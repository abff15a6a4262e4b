"""The names of lm-eval tasks: which are taken, which are refused and why, and what decides their questions."""

import importlib.util
import json
from pathlib import Path

import pytest

from harness.options.tasks import HUB_TASKS, PACKAGED, QUESTIONS, problem_of, task_digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one plain task file."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.yaml").write_text("task: mine\n")
    return tmp_path


def test_the_packaged_task_has_four_different_choices_a_question():
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    assert rows and all(len(set(row["choices"])) == 4 and row["answer"] in range(4) for row in rows)


def test_known_tasks_and_a_folder_of_plain_task_files_are_taken(folder):
    assert [problem_of(task) for task in (PACKAGED, *HUB_TASKS, str(folder))] == [None] * (2 + len(HUB_TASKS))


def test_an_unknown_task_is_told_with_the_nearest_and_the_way_out():
    said = problem_of("winogrand")
    assert said.startswith("unknown task 'winogrand'; did you mean 'winogrande'?")
    assert said.endswith("Or a folder with lm-eval task files (.yaml) of your own.")


def test_a_folder_without_task_files_is_refused(tmp_path):
    assert problem_of(str(tmp_path)) == f"{tmp_path}: no lm-eval task file (.yaml) lies in this folder"


def test_a_task_file_that_runs_code_is_refused_by_its_name(folder):
    bad = folder / "other.yaml"
    bad.write_text("task: other\nprocess_docs: !function utils.process\n")
    assert problem_of(str(folder)).startswith(f"{bad}: a task file with !function runs code")


def test_without_lm_eval_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert problem_of(PACKAGED) == "lm-eval is missing; pip install 'preference-harness[eval]'"


def test_a_digest_follows_the_name_and_every_file_of_a_folder(folder):
    first = task_digest(str(folder))
    assert first == task_digest(str(folder)) and len(first) == 64
    assert len({first, task_digest(PACKAGED), *map(task_digest, HUB_TASKS)}) == 2 + len(HUB_TASKS)
    (folder / "deep" / "rows.jsonl").write_text("{}\n")
    assert task_digest(str(folder)) != first
