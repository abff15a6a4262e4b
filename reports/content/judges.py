"""The table of judges: each judge's win-rate of each cell, with what says how far to trust that judge beside it."""

import json
from typing import Any

import pandas

from reports.text.numbers import Field
from results.cells.frames import rows_of

CANARIES = (
    Field("canary_constant", "constant", "share", "canary win-rates", short="canary\nconstant", drop=4),
    Field("canary_copied_prompt", "copied prompt", "share", "canary win-rates", short="canary\nprompt", drop=4),
    Field("canary_injection", "injection", "share", "canary win-rates", short="canary\ninject", drop=3),
)
JUDGED: tuple[Field, ...] = (
    Field("win_rate", "win-rate", "share", "judge", error=True, short="win\nrate"),
    Field("win_rate_length_controlled", "at equal length", "share", "judge", short="equal\nlength", drop=1),
    Field("length_agreement", "agrees with length", "share", "judge", short="agrees\nlength", drop=5),
    Field("position_consistency", "consistent", "share", "judge", short="consis-\ntent", drop=2),
    Field("tie_share", "ties", "share", "judge", short="ties", drop=6),
    Field("invalid_share", "invalid", "share", "judge", short="invalid", drop=2),
    Field("judge_tokens", "judge tokens", "count", "judge", short="judge\ntokens", drop=7),
    *CANARIES,
)
JUDGE = Field("judge", "judge", "text", "judge", short="judge")


def judgements(rows: pandas.DataFrame) -> pandas.DataFrame:
    """One row a finished cell and judge, judge by judge: the cell's columns with that judge's numbers in them.

    Empty where no cell was judged.
    """
    found: list[dict[str, Any]] = []
    for row in rows_of(rows):
        text = row.get("judgements")
        for judge, numbers in (json.loads(text) if isinstance(text, str) else {}).items():
            found.append({**row, **dict.fromkeys((field.column for field in JUDGED), None), **numbers, "judge": judge})
    if not found:
        return pandas.DataFrame()
    frame = pandas.DataFrame(found)
    order = {judge: place for place, judge in enumerate(dict.fromkeys(frame["judge"]))}
    return frame.sort_values("judge", key=lambda column: column.map(order), kind="stable").reset_index(drop=True)
