"""The options as people read and write them: a card for each key, and text -> `Options` with errors that help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ValidationError

from harness.errors import UsageError
from harness.options.fields import OptionCard, cards_of
from harness.options.parsers import unknown
from harness.options.run import Options
from harness.options.words import Words

Some = TypeVar("Some", bound=BaseModel)


def cards(of: type[BaseModel] = Options) -> tuple[OptionCard, ...]:
    """Every key of a verb's options, as `cards_of`; those of `run` where none is named."""
    return cards_of(of)


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


@overload
def make(values: Mapping[str, Any]) -> Options: ...
@overload
def make(values: Mapping[str, Any], of: type[Some]) -> Some: ...
def make(values: Mapping[str, Any], of: type[BaseModel] = Options) -> BaseModel:
    """Options of a verb from field values, given as text or as Python values.

    Raises: UsageError with one sentence for each problem.
    """
    try:
        return of.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError([line for item in error.errors() for line in _sentences(item, of)]) from None


def _sentences(error: Mapping[str, Any], of: type[BaseModel]) -> list[str]:
    """One pydantic error in our words: key, what was seen, what is allowed, what to write."""
    name = str(error["loc"][0]) if error["loc"] else ""
    card = next((card for card in cards(of) if card.field == name), None)
    if error["type"] == "missing" and card is not None:
        return [f"{name}= is missing ({card.meaning}); for example {name}={card.example}"]
    if error["type"] == "extra_forbidden":
        return [unknown("key", name, [card.field for card in cards(of)])]
    if error["type"] != "value_error":
        return [f"{name}: {error['msg']}, seen {error['input']!r}"]
    lines = str(error["ctx"]["error"]).split("\n")
    if card is None:
        return lines
    example = f"; for example {card.name}={card.example}"
    return [f"{card.name}: {line}{example}" for line in lines]
