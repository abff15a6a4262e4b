"""`plan show=N`: rows as the model is given them, ids and text, so that a template can be checked by eye."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.data.tokens import Row
from reports.text.escape import visible


def shown(rows: Sequence[Row], tokenizer: Any) -> Iterator[str]:
    """Lines for a terminal: prompt and completions of each row, their token ids, and the text that these decode to.

    Control characters of the text are written out, so that no row can steer a terminal.
    """
    for row in rows:
        sides = ("chosen", "rejected") if row.desirable is None else ("desirable" if row.desirable else "undesirable",)
        yield f"row {visible(row.id)} ({row.split}):"
        yield from _part("prompt", "not scored", row.prompt, tokenizer)
        for side, completion in zip(sides, row.completions, strict=True):
            yield from _part(side, "all scored", completion, tokenizer)


def _part(name: str, scored: str, ids: Sequence[int], tokenizer: Any) -> Iterator[str]:
    text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    yield f"  {name}, {len(ids)} tokens, {scored}"
    yield f"    ids:  {' '.join(map(str, ids))}"
    yield f"    text: {_on_one_line(text)}"


def _on_one_line(text: str) -> str:
    return visible(text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r"))
