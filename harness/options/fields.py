"""How a key of a verb's options is declared: its default, meaning and scope, from which every list of keys follows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, cast

from pydantic import BaseModel, BeforeValidator, Field
from pydantic.fields import FieldInfo

from harness.options.parsers import Parser, WholeNumber
from harness.options.words import SCALAR


class Scope(StrEnum):
    """What an option decides: its part in the id of a cell, in a rerun, and in a search."""

    GRID = "grid"  # which cells are asked for
    SEARCH = "search"  # how settings are searched; idle without a search
    DATA = "data"  # the rows, and their tokens
    TRAINING = "training"  # what is done to the weights, and to the training rows alone
    EVALUATION = "evaluation"  # when a policy is measured and how it is sampled; the same again in a rerun
    MEASUREMENT = "measurement"  # what is added to a cell that has been trained; a rerun leaves it out
    COMPUTATION = "computation"  # how the machine computes a cell: last bits may follow, so a rerun takes the row's
    MACHINE = "machine"  # where cells run and what of them is kept; moves no number, and a rerun has its own
    PLAN = "plan"  # what a plan is made for


@dataclass(frozen=True)
class OptionCard:
    """One key as a person reads it, and its scope.

    field:       its name among the options.
    example:     a value that it accepts, as the user would type it.
    evaluate:    whether the verb `evaluate` takes it too.
    whole_model: whether it needs the whole model in one process, with any value but its default (True) or with one.
    """

    name: str
    field: str
    kind: str
    allowed: str
    default: str
    meaning: str
    scope: Scope
    example: str
    evaluate: bool
    whole_model: bool | str


def option(
    default: Any,
    meaning: str,
    kind: str = SCALAR,
    shown: str | None = None,
    key: str | None = None,
    *,
    scope: Scope,
    example: str | None = None,
    evaluate: bool = False,
    whole_model: bool | str = False,
) -> Any:
    """A field; `shown` replaces a default that is not a value the user could type, `key` the field's name.

    scope has no default, so that a new option cannot be forgotten in a list of keys. The others: see OptionCard.
    """
    extra = {"kind": kind, "shown": shown, "key": key, "scope": scope, "example": example}
    return Field(
        default, description=meaning, json_schema_extra={**extra, "evaluate": evaluate, "whole_model": whole_model}
    )


def required(meaning: str, kind: str = SCALAR, *, scope: Scope, example: str, evaluate: bool = False) -> Any:
    """A field without a default."""
    return option(..., meaning, kind, "required", scope=scope, example=example, evaluate=evaluate)


def whole(minimum: int, maximum: int | None = None) -> BeforeValidator:
    """The parser of whole numbers within limits, as an annotation."""
    return BeforeValidator(WholeNumber(minimum, maximum))


@cache
def cards_of(of: type[BaseModel]) -> tuple[OptionCard, ...]:
    """Every key of a verb's options, in the order of declaration, without the settings of a suite or loss.

    What a class takes over from another comes last.
    """
    lines = [vars(cls).get("__annotations__", {}) for cls in of.__mro__]
    fields = sorted(of.model_fields.items(), key=lambda field: [field[0] in own for own in lines].index(True))
    return tuple(_card(name, info) for name, info in fields if info.json_schema_extra is not None)


def fields_in(of: type[BaseModel], *scopes: Scope) -> tuple[str, ...]:
    """The names of the fields that decide one of these, in the order of declaration."""
    return tuple(card.field for card in cards_of(of) if card.scope in scopes)


def is_changed(options: BaseModel, field: str) -> bool:
    """Whether a field is not at its default."""
    return bool(getattr(options, field) != type(options).model_fields[field].default)


def _card(name: str, info: FieldInfo) -> OptionCard:
    """The card of one field, from its declaration alone."""
    extra = cast(dict[str, Any], info.json_schema_extra)
    parser = cast(Parser, next(item.func for item in info.metadata if isinstance(item, BeforeValidator)))
    default = extra["shown"] or _as_typed(info.default)
    return OptionCard(
        name=extra["key"] or name,
        field=name,
        kind=extra["kind"],
        allowed=parser.allowed,
        default=default,
        meaning=info.description or "",
        scope=extra["scope"],
        example=extra["example"] or default,
        evaluate=extra["evaluate"],
        whole_model=extra["whole_model"],
    )


def _as_typed(value: Any) -> str:
    """A default as the user would type it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(_as_typed(item) for item in value)
    return str(value)
