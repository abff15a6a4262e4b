"""What `list losses NAME` says beyond a loss's declaration: its letters, and what running it shows, in words."""

from __future__ import annotations

from losses import Loss
from losses.checks.card import Card, Range, card

TOKEN_LOG_PROBS = {
    "sums": "reads their sums: length enters through the sum alone",
    "means": "reads their means per token",
    "neither alone": "reads neither sums nor means alone: lengths or single tokens act too",
}
SHIFT = {
    None: "",
    True: "adding the same to policy and reference changes nothing",
    False: "adding the same to policy and reference changes its value",
}


def measured(loss: Loss) -> list[tuple[str, str]]:
    """What running the loss at its defaults shows; a loss that does not run says why."""
    try:
        seen = card(loss)
    except Exception as error:  # a user's code may raise anything, beyond the probe in double precision or at extremes
        why = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return [("measured", f"not possible: {why}{error}")]
    return [
        ("measured", "at the defaults, on random log-probs"),
        ("  token log-probs", TOKEN_LOG_PROBS[seen.reads]),
        ("  at the start", f"policy == reference: value {_span(seen.start_value)}"),
        (
            "  pull, push",
            f"there, a nat: {_span(seen.start_pull)} up on wanted completions, {_span(seen.start_push)} down "
            "on unwanted ones",
        ),
        (
            "  at extremes",
            f"means 0, -1e-8, -1, -2000 of one token: |value| up to {seen.largest_value:.3g}, |gradient| "
            f"up to {seen.largest_gradient:.3g}",
        ),
        ("  both completions", _swap(seen)),
        ("  both models", SHIFT[seen.shift_invariant]),
        ("  batch", "a row's value depends on the rows beside it" if seen.couples else "each row by itself"),
    ]


def _span(numbers: Range) -> str:
    """One number, or the range over the tried completions where it depends on them."""
    low, high = (0.0 if abs(number) < 1e-9 else number for number in (numbers.low, numbers.high))
    return f"{low:.4g}" if numbers.is_constant else f"{low:.3g} to {high:.3g}"


def _swap(seen: Card) -> str:
    """What the loss makes of the two completions of a pair; nothing for single completions."""
    if seen.difference_only is None:
        return ""
    reads = "only the difference of their rewards counts"
    if not seen.difference_only:
        reads = "more than the difference of their rewards counts"
    if seen.swap_slope is None:
        return f"{reads}; not antisymmetric: value - swapped value is no multiple of the margin"
    return f"{reads}; antisymmetric: value - swapped value = {seen.swap_slope:.4g} * margin"
