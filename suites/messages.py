"""Prompts and answers as users write them: plain text, or a list of {role, content} messages."""

from __future__ import annotations

from typing import NamedTuple

from suites.cleaning import RowDropped, check_text
from suites.pair import ROLES, Message


class Side(NamedTuple):
    """One answer, with the turns that its column gives before it (none where it is only the answer)."""

    lead: tuple[Message, ...]
    answer: str


def read_prompt(value: object) -> tuple[Message, ...]:
    """A prompt column: text is one user message, and no value is no message.

    Raises: RowDropped under `malformed`, `not_text` or `empty_prompt`.
    """
    if value is None:
        return ()
    if isinstance(value, list):
        messages = read_messages(value, "prompt")
    else:
        messages = (Message("user", check_text(value, "prompt")),)
    if not any(message.content.strip() for message in messages if message.role == "user"):
        raise RowDropped("empty_prompt", "the prompt is empty")
    return messages


def read_side(value: object, what: str) -> Side:
    """An answer column: text, or messages of which the last is the assistant's answer.

    Raises: RowDropped under `malformed`, `not_text` or `empty_side`.
    """
    if not isinstance(value, list):
        return Side((), check_text(value, what))
    messages = read_messages(value, what)
    if not messages:
        raise RowDropped("empty_side", f"{what} holds no messages")
    if messages[-1].role != "assistant":
        raise RowDropped("malformed", f"the last message of {what} is not the assistant's")
    return Side(messages[:-1], messages[-1].content)


def read_messages(value: list, what: str) -> tuple[Message, ...]:
    """A list of {role, content}; other keys are ignored.

    Raises: RowDropped under `malformed` or `not_text`.
    """
    messages = []
    for number, item in enumerate(value, start=1):
        if not isinstance(item, dict) or not {"role", "content"} <= item.keys():
            raise RowDropped(
                "malformed", f"message {number} of {what} is not an object with role and content"
            )
        if item["role"] not in ROLES:
            raise RowDropped("malformed", f"role {item['role']!r} in {what} is not one of {', '.join(ROLES)}")
        messages.append(Message(item["role"], check_text(item["content"], f"message {number} of {what}")))
    return tuple(messages)
