"""What is wrong with a suite, before anything is trained on it: drops, duplicates, leaks, lengths.

Two passes over the rows, which keep digests and numbers and no text. Lengths are characters and words here; tokens
depend on the model and are the harness's business. What the numbers say is in `suites.audit.words`.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from statistics import fmean, median

from suites.audit.near_duplicates import THRESHOLD, candidates, keys, similarity
from suites.audit.report import Audit, Lengths
from suites.audit.words import Fact, advice, facts, lines
from suites.kind import Kind
from suites.pair import SPLITS, Example, Pair, Suite
from suites.rows import CHUNK

__all__ = ["Audit", "Fact", "Lengths", "advice", "audit", "facts", "lines"]


@dataclass
class _Seen:
    """What one pass over the rows gathers.

    judgements: digest of a prompt with its completions, whichever is preferred, and a byte for which -> rows.
    clusters: cluster -> a bit for each of SPLITS.
    """

    judgements: Counter[bytes] = field(default_factory=Counter)
    clusters: dict[str, int] = field(default_factory=dict)
    splits: Counter[str] = field(default_factory=Counter)
    characters: dict[str, array[int]] = field(default_factory=dict)
    words: dict[str, array[int]] = field(default_factory=dict)
    agreements: array[float] = field(default_factory=lambda: array("d"))
    chosen_is_prefix: int = 0
    rejected_is_prefix: int = 0
    longer_wins: float = 0.0
    desirable: int = 0

    def see(self, row: Pair | Example) -> None:
        """Take in one row."""
        self.splits[row.split] += 1
        self.clusters[row.cluster] = self.clusters.get(row.cluster, 0) | 1 << SPLITS.index(row.split)
        texts = {"prompt": prompt_text(row)}
        if isinstance(row, Pair):
            texts |= {"chosen": row.chosen, "rejected": row.rejected}
            self._see_pair(row)
        else:
            texts["completion"] = row.completion
            self._judge(row, [row.completion], row.desirable)
            self.desirable += row.desirable
        for what, text in texts.items():
            self.characters.setdefault(what, array("L")).append(len(text))
            self.words.setdefault(what, array("L")).append(len(text.split()))

    def _see_pair(self, row: Pair) -> None:
        self._judge(row, sorted((row.chosen, row.rejected)), row.chosen < row.rejected)
        self.chosen_is_prefix += row.rejected.startswith(row.chosen)
        self.rejected_is_prefix += row.chosen.startswith(row.rejected) and row.chosen != row.rejected
        longer = len(row.chosen) - len(row.rejected)
        self.longer_wins += (longer > 0) + 0.5 * (longer == 0)
        if row.agreement is not None:
            self.agreements.append(row.agreement)

    def _judge(self, row: Pair | Example, completions: list[str], verdict: bool) -> None:
        texts = json.dumps([[[m.role, m.content] for m in row.prompt], completions])
        self.judgements[hashlib.blake2b(texts.encode(), digest_size=16).digest() + bytes([verdict])] += 1

    @property
    def contradictory(self) -> int:
        """Rows whose verdict is reversed by another row with the same texts."""
        return sum(
            count for key, count in self.judgements.items() if key[:-1] + bytes([1 - key[-1]]) in self.judgements
        )


def audit(suite: Suite, advance: Callable[[int], None] = lambda n: None) -> Audit:
    """Measure one suite. A pure function of its rows; `advance` hears of each row seen, twice in all."""
    seen = _Seen()
    rows: Iterable[Pair | Example] = suite.rows
    for number, row in enumerate(rows, start=1):
        seen.see(row)
        if number % CHUNK == 0:
            advance(CHUNK)
    kept, pairs = len(suite.rows), suite.kind is Kind.PAIRS
    advance(kept % CHUNK)
    near_leaks = _near_leaks(suite)
    advance(kept)
    found = Audit(
        name=suite.name,
        kind=suite.kind,
        source=suite.source,
        revision=suite.revision,
        read=suite.read,
        kept=kept,
        dropped=dict(suite.dropped),
        splits={split: seen.splits[split] for split in SPLITS},
        duplicates=kept - len(seen.judgements),
        contradictory=seen.contradictory,
        clusters=len(seen.clusters),
        repeated_turns=kept - len(seen.clusters),
        leaking_clusters=sum(bits.bit_count() > 1 for bits in seen.clusters.values()),
        near_leaks=near_leaks,
        chosen_is_prefix=seen.chosen_is_prefix,
        rejected_is_prefix=seen.rejected_is_prefix,
        lengths={what: _lengths(sizes, seen.words[what]) for what, sizes in seen.characters.items()},
        longer_wins=seen.longer_wins / kept if pairs and kept else None,
        desirable=None if pairs else seen.desirable,
        agreement=fmean(seen.agreements) if seen.agreements else None,
        agreement_rows=len(seen.agreements),
    )
    return replace(found, advice=advice(found))


def prompt_text(row: Pair | Example) -> str:
    """All turns of a prompt as one text."""
    return "\n\n".join(message.content for message in row.prompt)


def _lengths(characters: array[int], words: array[int]) -> Lengths:
    return Lengths(median(characters), max(characters), median(words), max(words))


def _near_leaks(suite: Suite) -> int:
    """Held-out rows whose prompt nearly repeats that of a training row."""
    import numpy

    rows = suite.rows
    splits = rows.column("split").to_numpy()
    sketches = keys(prompt_text(row) for row in rows)
    training = splits == "train"
    pairs = candidates(sketches, numpy.flatnonzero(~training), numpy.flatnonzero(training))
    ours, theirs = (_prompts(suite, [pair[side] for pair in pairs]) for side in (0, 1))
    near = (similarity(one, other) >= THRESHOLD for one, other in zip(ours, theirs, strict=True))
    return len({pair[0] for pair, is_near in zip(pairs, near, strict=True) if is_near})


def _prompts(suite: Suite, places: list[int]) -> Iterator[str]:
    """The prompts of some rows as texts, one after another."""
    return (prompt_text(row) for row in suite.rows.take(places))
