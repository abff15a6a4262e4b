"""Suites whose completions a model has yet to give: prompts, a known reward, and the rule that makes pairs of them.

A suite function that needs a model returns a `Sampled`; the harness samples the completions (`harness.generation`)
and `pair_up` turns them into drafts of pairs. No model is known here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from suites.pair import Message, last_user_turn
from suites.reading.cleaning import Draft, RowDropped, check_text
from suites.splits import fraction_of

Label = Literal["deterministic", "bradley_terry"]
LABELS: tuple[Label, ...] = ("deterministic", "bradley_terry")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt, with the cluster and split that its pair will have."""

    id: str
    messages: tuple[Message, ...]
    cluster: str
    split: str

    @property
    def text(self) -> str:
        """What a known reward sees of the prompt: its last user message."""
        return last_user_turn(self.messages)


@dataclass(frozen=True, slots=True)
class Answer:
    """One sampled completion; truncated where it was cut at the token limit. score: its reward."""

    text: str
    truncated: bool
    score: float


@dataclass(frozen=True)
class Sampled:
    """What to sample and how to label it.

    reward: name of the known reward. samples: completions a prompt. sentence: a completion is over with its first
    sentence. label: `deterministic` prefers the better of two completions, `bradley_terry` with probability
    sigmoid(difference of their rewards), drawn from label_seed.
    """

    name: str
    prompts: tuple[Prompt, ...]
    reward: str
    samples: int
    max_new_tokens: int
    sentence: bool = False
    label: Label = "deterministic"
    label_seed: int = 0
    source: str = ""
    revision: str = ""


def pair_up(prompt: Prompt, answers: Sequence[Answer], label: Label, label_seed: int) -> Draft:
    """The best against the worst of the completions of one prompt, by their rewards.

    A completion that was cut is left out: a pair's completions end with an end-of-turn token, and that one did not.
    Raises: RowDropped under `too_few_answers` (fewer than two whole and different ones) or `tie`.
    """
    whole = usable(answers)
    if len(whole) < 2:
        raise RowDropped("too_few_answers", f"{len(whole)} of {len(answers)} answers are whole and different")
    best, worst = max(whole, key=lambda answer: answer.score), min(whole, key=lambda answer: answer.score)
    if best.score == worst.score:
        raise RowDropped("tie", f"{len(whole)} answers have the reward {best.score:.4g}")
    chosen, rejected = best, worst
    if label == "bradley_terry" and fraction_of(f"label/{label_seed}/{prompt.id}") >= _sigmoid(
        best.score - worst.score
    ):
        chosen, rejected = worst, best
    return Draft(
        prompt.id,
        prompt.messages,
        (chosen.text, rejected.text),
        prompt.split,
        prompt.cluster,
        (chosen.score, rejected.score),
    )


def usable(answers: Iterable[Answer]) -> list[Answer]:
    """The whole, non-empty completions that a file can carry, equal ones once."""
    return list({answer.text.strip(): answer for answer in answers if _is_whole(answer)}.values())


def _is_whole(answer: Answer) -> bool:
    try:
        return bool(check_text(answer.text, "answer").strip()) and not answer.truncated
    except RowDropped:
        return False


def in_hash_order(prompts: Iterable[Prompt]) -> list[Prompt]:
    """The prompts in an order that looks random and is always the same."""
    return sorted(prompts, key=lambda prompt: hashlib.sha256(f"prompt/{prompt.id}".encode()).digest())


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
