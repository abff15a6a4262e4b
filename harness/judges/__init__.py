"""Judges: who says which of two answers to a prompt is the better one.

One protocol (`protocol.py`), one file a kind of judge, and `registry.make`, which builds one from its name. What
judging does with a cell's answers is `harness/judging.py`; the numbers over verdicts are `results.verdicts`.
Importing this package loads no model and no client.
"""

from harness.judges.protocol import Judge, JudgeError, Streaming, Verdict
from harness.judges.registry import KINDS, check, make
from harness.judges.settings import SETTINGS, JudgeSettings

__all__ = [
    "KINDS",
    "SETTINGS",
    "Judge",
    "JudgeError",
    "JudgeSettings",
    "Streaming",
    "Verdict",
    "check",
    "make",
]
