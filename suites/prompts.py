"""A user's own file of prompts, without completions: what models are asked."""

from __future__ import annotations

import os
from pathlib import Path

from suites.pair import Message, SuiteError, first_human_turn
from suites.reading.cleaning import RowDropped
from suites.reading.messages import read_prompt
from suites.reading.records import read_records
from suites.sampled import Prompt
from suites.splits import cluster_of, split_of


def load_prompts(name: str) -> tuple[Prompt, ...]:
    """The prompts of one file, in its order, equal ones once: column `prompt` (text or messages), optional `id`.

    Other columns are ignored, so a file of pairs is a file of prompts too.
    Raises: SuiteError for a file that cannot be read, a row whose prompt cannot be answered, or none at all.
    """
    path = Path(os.path.expanduser(name))
    prompts: dict[tuple[Message, ...], Prompt] = {}
    seen: dict[str, str] = {}
    for number, record in enumerate(read_records(path), start=1):
        if "prompt" not in record.fields:
            found = ", ".join(map(str, record.fields)) or "none"
            raise SuiteError(f"{record.where}: no column 'prompt'; columns found: {found}")
        try:
            messages = read_prompt(record.fields["prompt"])
        except RowDropped as dropped:
            raise SuiteError(f"{record.where}: {dropped}") from None
        if not messages or messages[-1].role == "assistant":
            raise SuiteError(f"{record.where}: a prompt must hold a turn that is to be answered")
        given = record.fields.get("id")
        name_of_row = f"row-{number}" if given in (None, "") else str(given)
        if name_of_row in seen:
            raise SuiteError(f"{record.where}: id {name_of_row!r} was already used at {seen[name_of_row]}")
        seen[name_of_row] = record.where
        first = first_human_turn(messages)
        prompts.setdefault(messages, Prompt(name_of_row, messages, cluster_of(first), split_of(first)))
    if not prompts:
        raise SuiteError(f"{path.name}: no rows; needed: a column 'prompt'")
    return tuple(prompts.values())
