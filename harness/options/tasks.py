"""The lm-eval tasks that may be named."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from harness.options.parsers import unknown

PACKAGED = "everyday"
QUESTIONS = Path(__file__).resolve().parent.parent / "tasks" / "everyday.jsonl"

# Task -> folder of lm-eval that describes it. Multiple choice, one number each, and their data sets are plain files:
# datasets 5 runs no loading scripts, which other tasks need.
HUB_TASKS: Mapping[str, str] = {
    "arc_easy": "arc",
    "arc_challenge": "arc",
    "hellaswag": "hellaswag",
    "piqa": "piqa",
    "winogrande": "winogrande",
    "openbookqa": "openbookqa",
    "sciq": "sciq",
    "commonsense_qa": "commonsense_qa",
    "truthfulqa_mc1": "truthfulqa",
    "truthfulqa_mc2": "truthfulqa",
}


def problem_of(task: str) -> str | None:
    """What is wrong with a task's name, in a sentence; None where nothing is. Loads nothing."""
    if importlib.util.find_spec("lm_eval") is None:
        return "lm-eval is missing; pip install 'preference-harness[eval]'"
    if task == PACKAGED or task in HUB_TASKS:
        return None
    folder = Path(task).expanduser()
    if not folder.is_dir():
        known = unknown("task", task, [PACKAGED, *HUB_TASKS])
        return f"{known} Or a folder with lm-eval task files (.yaml) of your own."
    files = sorted(folder.rglob("*.yaml"))
    if not files:
        return f"{task}: no lm-eval task file (.yaml) lies in this folder"
    code = next((file for file in files if "!function" in file.read_text(encoding="utf-8", errors="replace")), None)
    return f"{code}: a task file with !function runs code; only plain task files are taken" if code else None


def task_digest(task: str) -> str:
    """What decides a task's questions, as far as it is known without loading them."""
    parts = [importlib.metadata.version("lm_eval"), task]
    folder = Path(task).expanduser()
    files = [QUESTIONS] if task == PACKAGED else sorted(folder.rglob("*")) if task not in HUB_TASKS else []
    parts += [f"{file.name}:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files if file.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
