"""`list judges` and `list tasks` as rows of text: what there is to measure completions and capability with."""

from __future__ import annotations

from harness.options.judges import KINDS, SETTINGS, defaults
from harness.options.tasks import HUB_TASKS, PACKAGED

Rows = list[tuple[str, ...]]

JUDGE_HEADINGS = ("judge", "what it is", "needs")
SETTING_HEADINGS = ("setting", "default", "allowed", "meaning")
TASK_HEADINGS = ("task", "needs", "what it is")


def judge_rows() -> Rows:
    """Every kind of judge."""
    return [(kind.form, kind.meaning, kind.needs) for kind in KINDS.values()]


def setting_rows() -> Rows:
    """Every setting of judges."""
    values = defaults()
    return [(f"judge.{key}", values[key], s.parser.allowed, s.meaning) for key, s in SETTINGS.items()]


def task_rows() -> Rows:
    """Every task that lm_eval= takes by name, and the folder of one's own."""
    rows = [(PACKAGED, "nothing", "48 easy questions with four answers, packaged")]
    rows += [(name, "its data set: hub or cache", f"lm-eval's {name}, multiple choice") for name in HUB_TASKS]
    return [*rows, ("FOLDER", "plain data files", "lm-eval task files (.yaml) of your own, without code")]
