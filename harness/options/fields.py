"""How a key of a verb's options is declared: its default, meaning and kind."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator, Field

from harness.options.parsers import WholeNumber
from harness.options.words import SCALAR


def option(default: Any, meaning: str, kind: str = SCALAR, shown: str | None = None, key: str | None = None) -> Any:
    """A field; `shown` replaces a default that is not a value the user could type, `key` the field's name."""
    return Field(default, description=meaning, json_schema_extra={"kind": kind, "shown": shown, "key": key})


def required(meaning: str, kind: str = SCALAR) -> Any:
    """A field without a default."""
    return Field(description=meaning, json_schema_extra={"kind": kind, "shown": "required", "key": None})


def whole(minimum: int, maximum: int | None = None) -> BeforeValidator:
    """The parser of whole numbers within limits, as an annotation."""
    return BeforeValidator(WholeNumber(minimum, maximum))
