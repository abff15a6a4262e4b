"""`list judges` and `list tasks`."""

from harness.options.judges import KINDS, SETTINGS
from harness.verbs.list import listing


def test_every_judge_and_setting_is_listed_with_what_it_needs():
    shown = listing(["judges"])
    assert all(kind.form in shown for kind in KINDS.values()) and all(f"judge.{key}" in shown for key in SETTINGS)
    assert "OPENAI_API_KEY" in shown and "OPENAI_API_KEY" in listing(["judges", "openai"])


def test_every_task_is_listed():
    shown = listing(["tasks"])
    assert "everyday" in shown and "hellaswag" in shown and "FOLDER" in shown
    assert "hellaswag" not in listing(["tasks", "everyday"])
