"""Judges by name: the one function that builds them. Kinds and settings are declared in `options.judges`.

A judge is named KIND or KIND:ARGUMENT. What a kind needs is imported when one is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.judges.protocol import Judge, JudgeError
from harness.options.judges import JudgeSettings, judge_problem

Build = Callable[[str, JudgeSettings], Judge]


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


_BUILDERS: Mapping[str, Build] = {
    "gold": _gold,
    "rm": _reward_model,
    "openai": _endpoint,
    "logprob": _logprob,
    "implicit": _implicit,
    "random": _random,
    "length": _length,
}


def make(spec: str, settings: JudgeSettings) -> Judge:
    """The judge of a name. Raises: JudgeError or UsageError where it cannot be had."""
    problem = judge_problem(spec)
    if problem:
        raise JudgeError(f"judge: {problem}")
    name, _, argument = spec.partition(":")
    return _BUILDERS[name](argument, settings)
