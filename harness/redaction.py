"""Secrets stay in the environment: refused as words of a command, and taken out of text before it is stored."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence

_SECRET_NAME = re.compile(r"(^|[_.-])(api_?key|access_?key|key|token|secret|password|passwd)$", re.IGNORECASE)
_SECRET_KEY = re.compile(r"(^|[_.-])(api_?key|access_?key|token|secret|password|passwd)$", re.IGNORECASE)
_USER_IN_URL = re.compile(r"(?<=://)[^/\s@]+@")
SHORTEST = 8  # characters; a shorter value is no secret, and would be taken out of ordinary words


def redacted(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text with the value of each secret variable (*_TOKEN, *_KEY ...) as $NAME, and no user in an address."""
    secrets = {
        name: value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= SHORTEST
    }
    for name, value in sorted(secrets.items(), key=lambda item: -len(item[1])):
        text = text.replace(value, f"${name}")
    return _USER_IN_URL.sub("", text)


def refusals(argv: Sequence[str]) -> list[str]:
    """One sentence for each `key=value` word that gives a secret; the value is not repeated."""
    keys = [word.partition("=")[0] for word in argv if "=" in word]
    return [
        f"{key}: a secret on a command line is seen by every user of the machine and kept in the shell's history; "
        "put it into the environment (HF_TOKEN, OPENAI_API_KEY) and leave the word out"
        for key in keys
        if _SECRET_KEY.search(key)
    ]


def command_line(verb: str, argv: Sequence[str]) -> str:
    """The command as it would be typed again, without secrets."""
    return redacted(shlex.join(["python", "-m", "harness", verb, *argv]))
