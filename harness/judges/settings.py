"""The settings of judges, `judge.KEY=VALUE`: name, default, what is allowed, meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from harness.values import Auto, Choice, Number, Text, WholeNumber, unknown


class Setting(NamedTuple):
    """One key: how its text is read, and what it means."""

    parser: Callable[[object], Any]
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
        "what the policy's answers are compared with: the reference's answers to the "
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
    "batch_size": Setting(WholeNumber(1), "answers in one forward pass of a local reward model"),
    "max_tokens": Setting(
        WholeNumber(8), "longest prompt and answer a local model reads; the prompt is cut from the left"
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
