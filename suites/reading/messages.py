"""Prompts and completions as users write them: plain text, or a list of {role, content} messages.

The rows of LLaMA-Factory's data files are brought under a user's own columns here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from suites.pair import ROLES, Message
from suites.reading.cleaning import RowDropped, check_text

OWN, SHAREGPT = ("role", "content"), ("from", "value")
SHAREGPT_ROLES = {"human": "user", "gpt": "assistant"}
SHAREGPT_LABELS = ("label", "kto_tag")


class Side(NamedTuple):
    """One completion, with the turns that its column gives before it (none where it is only the completion)."""

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
    """A completion column: text, one message, or messages of which the last is the assistant's completion.

    Raises: RowDropped under `malformed`, `not_text` or `empty_side`.
    """
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return Side((), check_text(value, what))
    messages = read_messages(value, what)
    if not messages:
        raise RowDropped("empty_side", f"{what} holds no messages")
    if messages[-1].role != "assistant":
        raise RowDropped("malformed", f"the last message of {what} is not the assistant's")
    return Side(messages[:-1], messages[-1].content)


def shared_prompt(prompt: tuple[Message, ...], *sides: Side) -> tuple[Message, ...]:
    """The one prompt of all sides: the prompt column, or the turns that lead to the completions.

    Sides given as whole conversations carry the prompt themselves. Then the column's turns must be the
    last of theirs: some sets repeat only the question in the column and keep a system turn in the sides.

    Raises: RowDropped under `diverges_before_last_turn`, `empty_prompt` or `malformed`.
    """
    leads = {side.lead for side in sides}
    if len(leads) > 1:
        raise RowDropped("diverges_before_last_turn", "the sides differ before their last message")
    lead = leads.pop()
    if lead and prompt and lead[-len(prompt) :] != prompt:
        raise RowDropped("diverges_before_last_turn", "the sides do not repeat the prompt column")
    whole = lead or prompt
    if not whole:
        raise RowDropped("empty_prompt", "there is no prompt")
    if whole[-1].role == "assistant" or all(message.role != "user" for message in whole):
        raise RowDropped("malformed", "a prompt needs a user message and must not end with the assistant's")
    return whole


def read_messages(value: list[object], what: str) -> tuple[Message, ...]:
    """A list of {role, content}, or in the ShareGPT form {from, value}; other keys are ignored.

    Raises: RowDropped under `malformed` or `not_text`.
    """
    messages = []
    for number, item in enumerate(value, start=1):
        fields = item if isinstance(item, dict) else {}
        keys = next((keys for keys in (OWN, SHAREGPT) if fields.keys() >= set(keys)), None)
        if keys is None:
            raise RowDropped("malformed", f"message {number} of {what} is not an object with role and content")
        role, text = (fields[key] for key in keys)
        if keys is SHAREGPT and isinstance(role, str):
            role = SHAREGPT_ROLES.get(role, role)
        if role not in ROLES:
            raise RowDropped("malformed", f"role {str(role)[:40]!r} in {what} is not one of {', '.join(ROLES)}")
        messages.append(Message(role, check_text(text, f"message {number} of {what}")))
    return tuple(messages)


def own_columns(fields: Mapping[str, object]) -> dict[str, object]:
    """A row of LLaMA-Factory's with prompt, chosen, rejected (or prompt, completion, label); others as they are.

    `conversations` or `messages` are the turns: all of them the prompt beside chosen and rejected, all but the
    last beside a label (`label` or `kto_tag`). A text in `system` becomes the first turn where there is none.
    Nothing is checked here: a row that makes no sense keeps its values and is dropped by its rule.
    """
    turns = fields.get("conversations", fields.get("messages"))
    if "prompt" in fields or not isinstance(turns, list):
        return dict(fields)
    rest = {key: value for key, value in fields.items() if key not in ("conversations", "messages", "system")}
    system, lead = fields.get("system"), turns[:1]
    opened = lead and isinstance(lead[0], Mapping) and "system" in (lead[0].get("role"), lead[0].get("from"))
    if isinstance(system, str) and system.strip() and not opened:
        turns = [{"role": "system", "content": system}, *turns]
    if "chosen" in fields and "rejected" in fields:
        return {**rest, "prompt": turns}
    label = next((key for key in SHAREGPT_LABELS if key in fields), None)
    if label is None:
        return dict(fields)
    return {**rest, "prompt": turns[:-1], "completion": turns[-1:], "label": fields[label]}
