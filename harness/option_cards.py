"""The options as people read and write them: a card for each key, and text -> `Options` with errors that help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BeforeValidator, ValidationError
from pydantic.fields import FieldInfo

from harness.options import Options, UsageError
from harness.values import unknown
from harness.words import Words


@dataclass(frozen=True)
class OptionCard:
    """One key as a person reads it."""

    name: str
    kind: str
    allowed: str
    default: str
    meaning: str


@cache
def cards() -> tuple[OptionCard, ...]:
    """Every key of the command line, in the order of declaration, without the dotted settings."""
    return tuple(_card(name, info) for name, info in Options.model_fields.items() if _is_key(info))


def kinds() -> dict[str, str]:
    """Key -> SCALAR, LIST or AXIS: what a comma means in it."""
    return {card.name: card.kind for card in cards()}


def values_of(words: Words) -> dict[str, Any]:
    """The field values that were typed, still as text."""
    values: dict[str, Any] = dict(words.values)
    if words.suite_settings:
        values["suite_settings"] = words.suite_settings
    if words.loss_settings:
        values["loss_settings"] = words.loss_settings
    return values


def make(values: Mapping[str, Any]) -> Options:
    """Options from field values, given as text or as Python values.

    Raises: UsageError with one sentence for each problem.
    """
    try:
        return Options.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError([line for item in error.errors() for line in _sentences(item)]) from None


def _is_key(info: FieldInfo) -> bool:
    return info.json_schema_extra is not None


def _card(name: str, info: FieldInfo) -> OptionCard:
    """The card of one field, from its declaration alone."""
    extra = info.json_schema_extra
    parser = next(item.func for item in info.metadata if isinstance(item, BeforeValidator))
    return OptionCard(
        name, extra["kind"], parser.allowed, extra["shown"] or _as_typed(info.default), info.description or ""
    )


def _as_typed(value: Any) -> str:
    """A default as the user would type it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(_as_typed(item) for item in value)
    return str(value)


def _sentences(error: Mapping[str, Any]) -> list[str]:
    """One pydantic error in our words: key, what was seen, what is allowed, what to write."""
    name = str(error["loc"][0]) if error["loc"] else ""
    by_name = {card.name: card for card in cards()}
    card = by_name.get(name)
    if error["type"] == "missing":
        example = {"suite": "suite=hh-rlhf", "losses": "losses=dpo,ipo"}[name]
        return [f"{name}= is missing ({card.meaning}); for example {example}"]
    if error["type"] == "extra_forbidden":
        return [unknown("key", name, by_name)]
    if error["type"] != "value_error":
        return [f"{name}: {error['msg']}, seen {error['input']!r}"]
    lines = str(error["ctx"]["error"]).split("\n")
    if card is None:
        return lines
    example = f"; for example {name}={_example(card)}"
    return [f"{name}: {line}{example}" for line in lines]


def _example(card: OptionCard) -> str:
    """A value that the key accepts: its default, or a typical one where the default is not typed."""
    typical = {
        "suite": "hh-rlhf", "losses": "dpo,ipo", "model_revision": "main", "plugins": "my_loss.py",
        "betas": "0.05,0.1", "lrs": "5e-6,1e-5",
    }  # fmt: skip
    return typical.get(card.name, card.default)

