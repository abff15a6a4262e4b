"""The options as people read and write them: a card for each key, and text -> `Options` with errors that help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic.fields import FieldInfo

from harness.errors import UsageError
from harness.options.parsers import unknown
from harness.options.run import Options
from harness.options.words import Words

Some = TypeVar("Some", bound=BaseModel)


@dataclass(frozen=True)
class OptionCard:
    """One key as a person reads it; `field` is its name among the options."""

    name: str
    field: str
    kind: str
    allowed: str
    default: str
    meaning: str


@cache
def cards(of: type[BaseModel] = Options) -> tuple[OptionCard, ...]:
    """Every key of a verb's options, in the order of declaration, without the settings of a suite or loss.

    What a class takes over from another comes last.
    """
    lines = [vars(cls).get("__annotations__", {}) for cls in of.__mro__]
    fields = sorted(of.model_fields.items(), key=lambda field: [field[0] in own for own in lines].index(True))
    return tuple(_card(name, info) for name, info in fields if _is_key(info))


def kinds(of: type[BaseModel] = Options) -> dict[str, str]:
    """Key -> SCALAR, LIST or AXIS: what a comma means in it."""
    return {card.name: card.kind for card in cards(of)}


def values_of(words: Words, of: type[BaseModel] = Options) -> dict[str, Any]:
    """The field values that were typed, still as text."""
    fields = {card.name: card.field for card in cards(of)}
    values: dict[str, Any] = {fields[key]: value for key, value in words.values.items()}
    if words.suite_settings:
        values["suite_settings"] = words.suite_settings
    if words.judge_settings:
        values["judge_settings"] = words.judge_settings
    if words.loss_settings:
        values["loss_settings"] = words.loss_settings
    return values


def make(values: Mapping[str, Any], of: type[Some] = Options) -> Some:
    """Options of a verb from field values, given as text or as Python values.

    Raises: UsageError with one sentence for each problem.
    """
    try:
        return of.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError([line for item in error.errors() for line in _sentences(item, of)]) from None


def _is_key(info: FieldInfo) -> bool:
    return info.json_schema_extra is not None


def _card(name: str, info: FieldInfo) -> OptionCard:
    """The card of one field, from its declaration alone."""
    extra = info.json_schema_extra
    parser = next(item.func for item in info.metadata if isinstance(item, BeforeValidator))
    return OptionCard(
        extra["key"] or name,
        name,
        extra["kind"],
        parser.allowed,
        extra["shown"] or _as_typed(info.default),
        info.description or "",
    )


def _as_typed(value: Any) -> str:
    """A default as the user would type it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(_as_typed(item) for item in value)
    return str(value)


def _sentences(error: Mapping[str, Any], of: type[BaseModel]) -> list[str]:
    """One pydantic error in our words: key, what was seen, what is allowed, what to write."""
    name = str(error["loc"][0]) if error["loc"] else ""
    card = next((card for card in cards(of) if card.field == name), None)
    if error["type"] == "missing":
        example = f"{name}={_example(card)}"
        return [f"{name}= is missing ({card.meaning}); for example {example}"]
    if error["type"] == "extra_forbidden":
        return [unknown("key", name, [card.field for card in cards(of)])]
    if error["type"] != "value_error":
        return [f"{name}: {error['msg']}, seen {error['input']!r}"]
    lines = str(error["ctx"]["error"]).split("\n")
    if card is None:
        return lines
    example = f"; for example {card.name}={_example(card)}"
    return [f"{card.name}: {line}{example}" for line in lines]


def _example(card: OptionCard) -> str:
    """A value that the key accepts: its default, or a typical one where the default is not typed."""
    typical = {
        "suite": "hh-rlhf",
        "losses": "dpo,ipo",
        "to": "my_pairs.jsonl",
        "model": "my-dpo-model",
        "reference": "smollm2-135m",
        "seeds": "0,1,2",
        "model_revision": "main",
        "plugins": "my_loss.py",
        "betas": "0.05,0.1",
        "lrs": "5e-6,1e-5",
        "suite.min_margin": "0.5",
    }
    is_a_choice = card.default in card.allowed.split(" | ")  # as a run's reference, where that of evaluate is a model
    return card.default if is_a_choice else typical.get(card.name, card.default)
