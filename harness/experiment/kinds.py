"""Which kind of loss learns from which kind of suite."""

from __future__ import annotations

from collections.abc import Mapping

from losses import Loss
from suites import Kind

LEARNS_FROM: Mapping[str, frozenset[Kind]] = {
    "pairwise": frozenset({Kind.PAIRS}),
    "pointwise": frozenset({Kind.PAIRS, Kind.EXAMPLES}),  # a pair is two rated completions
}


def reason_to_skip(loss: Loss, kind: Kind) -> str:
    """Why the loss cannot learn from such a suite; "" where it can."""
    if kind in LEARNS_FROM[loss.kind]:
        return ""
    return f"{loss.name} compares two completions of one prompt, and this suite holds single rated completions"
