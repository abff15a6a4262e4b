"""Judges by name: what kinds there are, what each needs, and the one function that builds them.

A judge is named KIND or KIND:ARGUMENT. What a kind needs is imported when one is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.judges.protocol import Judge, JudgeError
from harness.judges.settings import JudgeSettings
from harness.values import unknown

Build = Callable[[str, JudgeSettings], Judge]


@dataclass(frozen=True)
class JudgeKind:
    """One kind of judge; `argument` names what follows the colon, in [] where it may be left out."""

    name: str
    argument: str
    meaning: str
    needs: str
    build: Build

    @property
    def form(self) -> str:
        """How it is written: `rm:MODEL`."""
        optional = self.argument.startswith("[")
        inner = self.argument.strip("[]")
        return f"{self.name}[:{inner}]" if optional else f"{self.name}:{inner}" if inner else self.name


def _gold(argument: str, settings: JudgeSettings) -> Judge:
    from harness.judges.scored import ScoreJudge
    from suites import rewards

    reward = rewards.get(argument or settings.suite)
    return ScoreJudge(f"gold:{reward.id}", reward.score)


def _reward_model(argument: str, settings: JudgeSettings) -> Judge:
    from harness.judges.reward_model import reward_model_judge

    return reward_model_judge(argument, settings)


def _endpoint(argument: str, settings: JudgeSettings) -> Judge:
    from harness.judges.endpoint import Endpoint

    return Endpoint(argument, settings)


def _logprob(argument: str, settings: JudgeSettings) -> Judge:
    from harness.judges.likelihood import logprob_judge

    return logprob_judge(argument, settings)


def _implicit(argument: str, settings: JudgeSettings) -> Judge:
    from harness.judges.likelihood import implicit_judge

    return implicit_judge(argument, settings)


def _random(argument: str, settings: JudgeSettings) -> Judge:
    from harness.judges.scored import random_judge

    return random_judge()


def _length(argument: str, settings: JudgeSettings) -> Judge:
    from harness.judges.scored import length_judge

    return length_judge()


KINDS: Mapping[str, JudgeKind] = {
    kind.name: kind
    for kind in (
        JudgeKind("gold", "[SUITE]", "the suite's own ground-truth reward", "a suite that has one", _gold),
        JudgeKind(
            "rm", "MODEL", "a reward model: the higher score wins", "a hub id or folder, one output", _reward_model
        ),
        JudgeKind(
            "openai",
            "MODEL",
            "a model behind an OpenAI-compatible endpoint, asked in both orders",
            "pip install 'preference-harness[judge]'; OPENAI_API_KEY in the environment, or judge.base_url=",
            _endpoint,
        ),
        JudgeKind(
            "logprob",
            "MODEL",
            "the answer that a model finds likelier, a token",
            "a name of `list models`, a hub id or folder",
            _logprob,
        ),
        JudgeKind(
            "implicit",
            "CELL",
            "the answer that a trained cell made likelier than its reference does",
            "a cell's folder, trained with save=best or save=all",
            _implicit,
        ),
        JudgeKind("random", "", "control: the toss of a coin", "nothing", _random),
        JudgeKind("length", "", "control: the longer answer", "nothing", _length),
    )
}
CONTROLS = ("random", "length")


def check(spec: str) -> str | None:
    """What is wrong with a judge's name, in a sentence; None where nothing is. Loads nothing."""
    name, colon, argument = spec.partition(":")
    forms = ", ".join(kind.form for kind in KINDS.values())
    if name not in KINDS:
        return f"{unknown('judge', name, KINDS)} Written: {forms}; see `list judges`."
    kind = KINDS[name]
    if kind.argument and not kind.argument.startswith("[") and not argument:
        return f"{spec!r} does not say which; write {kind.form} ({kind.needs})"
    if colon and not (kind.argument and argument):
        return f"{spec!r} is not a judge; write {kind.form}"
    if name == "implicit" and not Path(argument).expanduser().is_dir():
        return f"{spec!r}: no such folder; paths are read from the current folder"
    return None


def make(spec: str, settings: JudgeSettings) -> Judge:
    """The judge of a name. Raises: JudgeError or UsageError where it cannot be had."""
    problem = check(spec)
    if problem:
        raise JudgeError(f"judge: {problem}")
    name, _, argument = spec.partition(":")
    return KINDS[name].build(argument, settings)
