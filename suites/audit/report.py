"""What an audit found, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Lengths:
    """Median and longest of one kind of text, in characters and in words."""

    median_characters: float
    longest_characters: int
    median_words: float
    longest_words: int


@dataclass(frozen=True)
class Audit:
    """The findings over the kept rows of one suite. Counts are rows unless said otherwise.

    duplicates: rows that repeat the texts of an earlier row. contradictory: rows whose completions also occur
    the other way round (pairs), or whose completion is judged both ways (examples), under the same prompt.
    clusters: distinct first human turns; repeated_turns: rows beyond the first of their cluster.
    leaking_clusters: clusters in more than one split. near_leaks: held-out rows whose prompt nearly repeats that of a
    training row (`suites.audit.near_duplicates`). chosen_is_prefix, rejected_is_prefix: pairs of which this completion
    is the beginning of the other, a preference for more or less of the same text. longer_wins: share of pairs whose
    chosen completion has more characters, ties one half; None for unpaired examples, which have desirable instead.
    agreement: mean share of votes for the chosen completion over the rows that have votes; None where none has.
    advice: what a careful reader of the numbers would do next.
    """

    name: str
    kind: str
    source: str
    revision: str
    read: int
    kept: int
    dropped: Mapping[str, int]
    splits: Mapping[str, int]
    duplicates: int
    contradictory: int
    clusters: int
    repeated_turns: int
    leaking_clusters: int
    near_leaks: int
    chosen_is_prefix: int
    rejected_is_prefix: int
    lengths: Mapping[str, Lengths]
    longer_wins: float | None
    desirable: int | None
    agreement: float | None
    agreement_rows: int
    advice: tuple[str, ...] = ()

    @property
    def prefix(self) -> int:
        """Pairs of which one completion begins with the other."""
        return self.chosen_is_prefix + self.rejected_is_prefix
