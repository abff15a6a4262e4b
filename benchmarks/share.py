"""The part `share`: what a pair costs against the prompt's share of it, at equal length.

Rows of random token ids, all of one shape, so that nothing is padded on any side: what differs is that our
packed row holds the prompt once, and what all prompts begin with once for all. Our plain layout is in the table to
show what that alone brings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.settings import Settings
from benchmarks.step import FASTEST, OURS, checks, words_of
from benchmarks.table import failures, gibibytes, machine_line, number, table, times
from benchmarks.turns import Found, Say, in_turns, largest, measured, ratio, typical

SHARES = (0.2, 0.5, 0.8)
OPENING = 40  # tokens that all prompts begin with in the last case, as under a chat template with a system's turn
CASES = {str(share): (share, 0) for share in SHARES} | {f"0.5, {OPENING} tokens of it a common opening": (0.5, OPENING)}
TOKENS = 220  # of prompt, chosen and rejected together: the mean of harmless-base within 512 (221; 61 % prompt)
PLAIN = "ours, plain"

Turns = Sequence[dict[str, Found]]


def measure(settings: Settings, say: Say) -> dict[str, Turns]:
    """For each case all sides in turns."""
    return {name: _at(share, opening, settings, say) for name, (share, opening) in CASES.items()}


def _at(share: float, opening: int, settings: Settings, say: Say) -> Turns:
    common = {"share": share, "opening": opening, "tokens": TOKENS, "micro": settings.trl_micro}
    sides = {
        OURS: common | {"side": OURS, "words": words_of(settings, "layout=packed")},
        PLAIN: common | {"side": OURS, "words": words_of(settings, "layout=plain")},
        FASTEST: common | {"side": FASTEST, "words": words_of(settings)},
    }
    return in_turns(
        {name: lambda spec=spec: measured(spec) for name, spec in sides.items()},
        settings.turns,
        lambda text: say(f"prompt share {share}, opening {opening}: {text}"),
    )


def lines(found: Mapping[str, Turns], settings: Settings) -> list[str]:
    """A row for each case."""
    rows = [
        [
            name,
            *(number(typical(turns, side, "seconds")) for side in (OURS, PLAIN, FASTEST)),
            *(gibibytes(largest(turns, side)) for side in (OURS, FASTEST)),
            times(ratio(turns, PLAIN, OURS, "seconds")),
            times(ratio(turns, FASTEST, OURS, "seconds")),
        ]
        for name, turns in found.items()
    ]
    return [
        machine_line([one for turns in found.values() for turn in turns for one in turn.values()]),
        f"{TOKENS} random tokens a pair (prompt, chosen, rejected); seconds a pair",
        "",
        *table(["prompt share", OURS, PLAIN, FASTEST, "memory ours", "memory trl", "plain / ours", "trl / ours"], rows),
        "",
        *(line for turns in found.values() for line in (*failures(turns), *checks(turns))),
    ]
