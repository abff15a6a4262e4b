"""The look-up of names in options about added measurements: judges, lm-eval tasks, ways to count refusals."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

from harness import judges
from harness.options import Options


def problems(values: Mapping[str, Any]) -> list[str]:
    """One sentence for each name in explicitly given values, which may still be text, that cannot be used."""
    found = [f"judge: {problem}" for name in _items(values, "judge") if (problem := judges.check(name))]
    if tasks := _items(values, "lm_eval"):
        from harness import capability

        found += [f"lm_eval: {problem}" for task in tasks if (problem := capability.problem_of(task))]
    way = values.get("refusal", "none")
    if way not in ("none", "rule"):
        problem = (
            judges.check(way)
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
    value = values.get(key, Options.model_fields[key].default)
    items = (value,) if isinstance(value, str) else tuple(value)
    return () if items == ("none",) else tuple(item for item in items if item != "none")
