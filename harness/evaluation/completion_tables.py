"""The completions of finished cells as tables: the policy's, the reference's, the chosen ones, their prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.data.tokens import plain_text
from harness.judges.protocol import JudgeError
from results.cells import store
from results.cells.store import GENERATIONS
from suites import Message

if TYPE_CHECKING:
    import pandas as pd

    from harness.data.dataset import Data

_TURN_TO_COME = plain_text(())  # what a transcript ends with where a completion is to follow


class JudgePrompt(NamedTuple):
    """A prompt as judges read it, with the suite's chosen completion and its length in tokens, where there is one."""

    prompt: str
    chosen: str | None = None
    chosen_tokens: int | None = None


class Cell(NamedTuple):
    """A finished cell, its row and its completions: prompt_id, cluster_id, sample, answer, tokens, prompt (or None)."""

    folder: Path
    row: Mapping[str, Any]
    completions: pd.DataFrame

    @property
    def label(self) -> str:
        """The cell's name in a line."""
        return f"{self.row['loss']}-{self.row['cell']}"


def transcript(prompt: Sequence[Message]) -> str:
    """A prompt as one text: a single user turn as it is, a conversation with who speaks before each turn."""
    users = [message.content for message in prompt if message.role == "user"]
    return users[0] if len(users) == len(prompt) == 1 else plain_text(prompt).removesuffix(_TURN_TO_COME).strip()


def prompts_of(data: Data) -> dict[str, JudgePrompt]:
    """The prompts of a run's held-out rows by row id."""
    rows, found = (*data.validation, *data.test), {}
    for row, text in zip(rows, data.texts(rows), strict=True):
        chosen = getattr(text, "chosen", None)
        found[row.id] = JudgePrompt(
            transcript(text.prompt), chosen, len(row.completions[0]) if chosen is not None else None
        )
    return found


def read_cell(folder: Path, file: str = GENERATIONS) -> Cell:
    """A finished cell with its completions, or those of another file of the kind.

    Raises: JudgeError where it has none that can be read.
    """
    import pandas as pd

    folder, path = Path(folder), Path(folder) / file
    if not store.is_done(folder):
        raise JudgeError(f"{folder} holds no finished cell; run its command again")
    if not path.is_file():
        raise JudgeError(f"{folder} has no generated completions to judge; run its command with generate=N")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            names = {name: str(record[name]) for name in ("prompt_id", "cluster_id", "answer")}
            rows.append({"sample": 0, "tokens": None, "prompt": None, **record, **names})
        except (ValueError, KeyError, TypeError) as error:
            raise JudgeError(
                f"{path}, line {number}: no completion ({type(error).__name__}: {error}); a line is a "
                "JSON object with prompt_id, cluster_id and answer"
            ) from None
    if not rows:
        raise JudgeError(f"{path} holds no completion; run its command with generate=N")
    return Cell(folder, store.read_row(folder), pd.DataFrame(rows))


def prompt_table(cell: Cell, prompts: Mapping[str, JudgePrompt]) -> pd.DataFrame:
    """prompt_id, cluster_id, prompt of each prompt: the text beside the completion, else the run's."""
    table = cell.completions.drop_duplicates("prompt_id")[["prompt_id", "cluster_id", "prompt"]]
    known = [
        text if isinstance(text, str) else prompts[name].prompt if name in prompts else None
        for name, text in zip(table["prompt_id"], table["prompt"], strict=True)
    ]
    return table.assign(prompt=known).dropna(subset="prompt")


def baseline_completions(
    cell: Cell, cells: Sequence[Cell], baseline: str, prompts: Mapping[str, JudgePrompt]
) -> pd.DataFrame:
    """What the cell's completions are compared with. Raises: JudgeError where nobody gave it."""
    import pandas as pd

    if baseline == "chosen":
        rows = [
            {"prompt_id": name, "sample": 0, "answer": asked.chosen, "tokens": asked.chosen_tokens}
            for name, asked in prompts.items()
            if asked.chosen is not None
        ]
        if not rows:
            raise JudgeError(
                "judge.baseline=chosen: this suite has no chosen completions; use judge.baseline=reference"
            )
        return pd.DataFrame(rows)
    return reference_completions(cell, cells)


def reference_completions(cell: Cell, cells: Sequence[Cell]) -> pd.DataFrame:
    """The completions of the cell's reference: the baseline `none` of its protocol. Raises: JudgeError without one."""
    for other in cells:
        if other.row["loss"] == "none" and other.row["protocol"] == cell.row["protocol"]:
            return other.completions
    raise JudgeError(
        "the reference's completions are missing: they are those of the baseline `none`; run with controls=true"
    )
