"""Judges: who says which of two completions of a prompt is the better one.

One protocol (`protocol.py`), one file a kind of judge, and `registry.make`, which builds one from its name. What
judging does with a cell's completions is `evaluation/judging.py`; numbers over verdicts are
`results.metrics.win_rates`. Importing this package loads no model and no client.
"""

from harness.judges.protocol import Judge, JudgeError, Streaming, Verdict
from harness.judges.registry import make

__all__ = [
    "Judge",
    "JudgeError",
    "Streaming",
    "Verdict",
    "make",
]
