"""Rows as LLaMA-Factory's data files write them, brought under the columns of a user's own file."""

from __future__ import annotations

from collections.abc import Mapping

LABELS = ("label", "kto_tag")


def own_columns(fields: Mapping[str, object]) -> dict[str, object]:
    """The row with prompt, chosen, rejected (or prompt, completion, label); other rows come back as they are.

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
    label = next((key for key in LABELS if key in fields), None)
    if label is None:
        return dict(fields)
    return {**rest, "prompt": turns[:-1], "completion": turns[-1:], "label": fields[label]}
