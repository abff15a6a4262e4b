"""The one text of a value and its digest: what ids are made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

ID_LENGTH = 12  # hex digits of a sha256


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, floats in their shortest exact form.

    Raises: ValueError for NaN or infinity, TypeError for keys that are not text or values JSON lacks.
    """
    _require_text_keys(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, length: int = ID_LENGTH) -> str:
    """The first hex digits of the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()[:length]


def _require_text_keys(value: Any) -> None:
    """JSON turns number keys into text silently, so two values could share one text: refuse them."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} of an identity is not text; write it as text")
            _require_text_keys(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _require_text_keys(inner)
