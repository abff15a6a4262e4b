"""Judges that score each completion by itself and prefer the higher score, and the two baseline judges.

A score of each completion makes a judge symmetric: the order in which completions are shown cannot matter.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.judges.protocol import Verdict, invalid

Score = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


@dataclass(frozen=True)
class ScoreJudge:
    """score: prompts [N] and completions [N] -> numbers [N], higher is better; NaN is an invalid verdict."""

    id: str
    score: Score
    symmetric: bool = True

    def compare(self, prompts: Sequence[str], a: Sequence[str], b: Sequence[str]) -> list[Verdict]:
        """1 where a scores higher, 0 where b does, 0.5 where they are equal."""
        scores = list(self.score([*prompts, *prompts], [*a, *b]))
        return [_preferred(*pair) for pair in zip(scores[: len(a)], scores[len(a) :], strict=True)]


def _preferred(first: float, second: float) -> Verdict:
    if math.isnan(first) or math.isnan(second):
        return invalid("an answer has no score")
    return Verdict(0.5 if first == second else float(first > second))


def length_judge() -> ScoreJudge:
    """The baseline judge that prefers the longer completion, in characters, and reads neither."""
    return ScoreJudge("length", lambda prompts, completions: [len(completion) for completion in completions])


def random_judge() -> ScoreJudge:
    """The baseline judge that prefers either completion by the toss of a coin: a digest of prompt and completion.

    Equal completions tie; everything else is as likely to win as to lose, and the same whenever it is asked.
    """
    return ScoreJudge("random", lambda prompts, completions: list(map(_toss, prompts, completions)))


def _toss(prompt: str, completion: str) -> float:
    content = f"{len(prompt)}|{prompt}|{completion}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(content).digest()[:6]) / 2**48
