"""The settings of judges, `judge.KEY=VALUE`: name, default, what is allowed, meaning."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from harness.options.parsers import Auto, Choice, Number, Parser, Text, WholeNumber, unknown
from harness.options.tasks import problem_of


@dataclass(frozen=True)
class JudgeKind:
    """How a kind of judge is named and what it needs; `argument` follows the colon, in [] where it may be left out."""

    name: str
    argument: str
    meaning: str
    needs: str

    @property
    def form(self) -> str:
        """How it is written: `rm:MODEL`."""
        optional = self.argument.startswith("[")
        inner = self.argument.strip("[]")
        return f"{self.name}[:{inner}]" if optional else f"{self.name}:{inner}" if inner else self.name


KINDS: Mapping[str, JudgeKind] = {
    kind.name: kind
    for kind in (
        JudgeKind("gold", "[SUITE]", "the suite's own ground-truth reward", "a suite that has one"),
        JudgeKind("rm", "MODEL", "a reward model: the higher score wins", "a hub id or folder, one output"),
        JudgeKind(
            "openai",
            "MODEL",
            "a model behind an OpenAI-compatible endpoint, asked in both orders",
            "pip install 'preference-harness[judge]'; OPENAI_API_KEY in the environment, or judge.base_url=",
        ),
        JudgeKind(
            "logprob",
            "MODEL",
            "the completion that a model finds likelier, a token",
            "a name of `list models`, a hub id or folder",
        ),
        JudgeKind(
            "implicit",
            "CELL",
            "the completion that a trained cell made likelier than its reference does",
            "a cell's folder, trained with save=best or save=all",
        ),
        JudgeKind("random", "", "baseline: the toss of a coin", "nothing"),
        JudgeKind("length", "", "baseline: the longer completion", "nothing"),
    )
}
BASELINE_JUDGES = ("random", "length")


class Setting(NamedTuple):
    """One key: how its text is read, and what it means."""

    parser: Parser
    meaning: str


@dataclass(frozen=True)
class Address:
    """The address of an endpoint; a key or password has no place in it, because addresses are printed."""

    allowed: str = "http(s)://HOST/v1"

    def __call__(self, value: object) -> str:
        text = Text()(value)
        if not text.startswith(("http://", "https://")) or "@" in text or "?" in text:
            raise ValueError(
                f"{text.rpartition('@')[2]!r} is not an address such as http://127.0.0.1:8000/v1; a key "
                "goes into the environment variable OPENAI_API_KEY"
            )
        return text.rstrip("/")


@dataclass(frozen=True)
class JudgeSettings:
    """Everything a judge may be told.

    suite, device: the run's, for judges that need them; they have no key of their own.
    """

    baseline: str = "reference"
    base_url: str | None = None
    requests_per_minute: float | None = None
    concurrency: int = 8
    timeout_seconds: float = 60.0
    retries: int = 6
    reply_tokens: int = 256
    max_invalid: float = 0.1
    batch_size: int = 8
    max_tokens: int = 2048
    suite: str = ""
    device: str = "cpu"

    def but(self, values: Mapping[str, Any]) -> JudgeSettings:
        """These settings with some changed; the values are parsed ones."""
        return replace(self, **values)


SETTINGS: Mapping[str, Setting] = {
    "baseline": Setting(
        Choice(("reference", "chosen")),
        "what the policy's completions are compared with: the reference's completions of the "
        "same prompts, or the suite's chosen ones",
    ),
    "base_url": Setting(
        Auto(Address()), "address of an OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, hosted); auto = OpenAI's"
    ),
    "requests_per_minute": Setting(Auto(Number(above=0)), "most requests a minute, repeated ones included; auto = all"),
    "concurrency": Setting(WholeNumber(1, 256), "requests under way at a time"),
    "timeout_seconds": Setting(Number(above=0), "longest wait for one reply"),
    "retries": Setting(
        WholeNumber(0, 50), "how often a failed request is repeated, later each time, or when the server says"
    ),
    "reply_tokens": Setting(WholeNumber(8), "longest reply; a longer one is cut, and then invalid"),
    "max_invalid": Setting(
        Number(minimum=0, below=1), "largest share of invalid verdicts; above it the measurement fails"
    ),
    "batch_size": Setting(WholeNumber(1), "completions in one forward pass of a local reward model"),
    "max_tokens": Setting(
        WholeNumber(8), "longest prompt and completion a local model reads; the prompt is cut from the left"
    ),
}


def parse(values: Mapping[str, object]) -> dict[str, Any]:
    """Typed settings from text or Python values.

    Raises: ValueError with one line for each problem.
    """
    parsed, problems = {}, []
    for key, value in values.items():
        if key not in SETTINGS:
            problems.append(f"judge.{key}: " + unknown("setting of judges", key, SETTINGS))
            continue
        try:
            parsed[key] = SETTINGS[key].parser(value)
        except ValueError as error:
            problems.append(f"judge.{key}: {error}; allowed: {SETTINGS[key].parser.allowed}")
    if problems:
        raise ValueError("\n".join(problems))
    return parsed


def defaults() -> dict[str, str]:
    """Each key's default as the user would type it."""
    by_name = {field.name: field.default for field in fields(JudgeSettings)}
    return {
        key: "auto"
        if by_name[key] is None
        else f"{by_name[key]:g}"
        if isinstance(by_name[key], float)
        else str(by_name[key])
        for key in SETTINGS
    }


def judge_problem(spec: str) -> str | None:
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


def measurement_problems(values: Mapping[str, Any]) -> list[str]:
    """One sentence for each name in explicitly given values, which may still be text, that cannot be used."""
    found = [f"judge: {problem}" for name in _items(values, "judge") if (problem := judge_problem(name))]
    if tasks := _items(values, "lm_eval"):
        found += [f"lm_eval: {problem}" for task in tasks if (problem := problem_of(task))]
    way = values.get("refusal", "none")
    if way not in ("none", "rule"):
        problem = (
            judge_problem(way)
            if str(way).startswith("openai:")
            else f"unknown way {way!r} to count refusals. Allowed: none, rule, openai:MODEL."
        )
        found += [f"refusal: {problem}"] if problem else []
    if any(str(name).startswith("openai:") for name in (*_items(values, "judge"), way)):
        found += _endpoint_problems(values)
    return found


def _endpoint_problems(values: Mapping[str, Any]) -> list[str]:
    """What an endpoint's judge lacks, told before anything is trained."""
    found = []
    if importlib.util.find_spec("openai") is None:
        found.append("judge: openai:MODEL needs its client; pip install 'preference-harness[judge]'")
    if not os.environ.get("OPENAI_API_KEY") and values.get("judge_settings", {}).get("base_url", "auto") == "auto":
        found.append(
            "judge: OPENAI_API_KEY is not set in the environment; set it, or name an endpoint that needs no "
            "key: judge.base_url=http://127.0.0.1:8000/v1"
        )
    return found


def _items(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The names that an option holds, none where it says none."""
    value = values.get(key, ())
    items = (value,) if isinstance(value, str) else tuple(value)
    return () if items == ("none",) else tuple(item for item in items if item != "none")
