"""Finished cells with generated completions, made without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from results.cells import store

PAIRS = pd.DataFrame(
    {
        "pair_id": ["a"],
        "cluster_id": ["c"],
        "split": ["test"],
        "step": [1],
        "policy_chosen_logp": [-1.0],
        "policy_rejected_logp": [-2.0],
        "reference_chosen_logp": [-1.5],
        "reference_rejected_logp": [-1.5],
        "chosen_tokens": [3],
        "rejected_tokens": [3],
        "prompt_tokens": [3],
    }
)


def finished_cell(
    out: Path,
    loss: str,
    completions: Sequence[str] | None,
    *,
    prompts: Sequence[str | None] | None = None,
    protocol: str = "p",
    cell: str | None = None,
    **columns: object,
) -> Path:
    """A stored cell whose completions are to prompts 0, 1, 2 ...; prompts i and i + 1 share a first turn."""
    cell = cell or loss
    folder = store.cell_folder(out, "toy", loss, cell)
    folder.mkdir(parents=True)
    if completions is not None:
        lines = []
        for number, completion in enumerate(completions):
            record = {
                "prompt_id": str(number),
                "cluster_id": f"c{number // 2}",
                "sample": 0,
                "answer": completion,
                "tokens": len(completion.split()),
            }
            prompt = prompts[number] if prompts else None
            lines.append(json.dumps(record | ({"prompt": prompt} if prompt else {}), ensure_ascii=False))
        (folder / "generations.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    row = {"loss": loss, "cell": cell, "protocol": protocol, "control": loss == "none", **columns}
    store.write_cell(folder, cell={}, row=row, pairs=PAIRS, curve=None, log="")
    return folder
