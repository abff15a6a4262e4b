"""What is wrong with a suite, before anything is trained on it: drops, duplicates, leaks, lengths.

Lengths are characters and words here; tokens depend on the model and are the harness's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from suites.pair import SPLITS, Example, Pair, Suite

CONTRADICTION_ADVICE_SHARE = 0.01
LENGTH_ADVICE = (0.45, 0.55)
CLUSTER_ADVICE_SHARE = 0.05


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

    duplicates: rows that repeat the texts of an earlier row. contradictory: rows whose answers also occur
    the other way round (pairs), or whose answer is judged both ways (examples), under the same prompt.
    clusters: distinct first human turns; repeated_turns: rows beyond the first of their cluster.
    leaking_clusters: clusters in more than one split. prefix: pairs of which one answer begins with the
    other, a preference for more or less of the same text. longer_wins: share of pairs whose chosen answer
    has more characters, ties one half; None for unpaired examples, which have desirable instead.
    """

    name: str
    kind: str
    read: int
    kept: int
    dropped: Mapping[str, int]
    splits: Mapping[str, int]
    duplicates: int
    contradictory: int
    clusters: int
    repeated_turns: int
    leaking_clusters: int
    prefix: int
    lengths: Mapping[str, Lengths]
    longer_wins: float | None
    desirable: int | None
    advice: tuple[str, ...]


def audit(suite: Suite) -> Audit:
    """Measure one suite. A pure function of its rows."""
    rows = suite.rows
    clusters: dict[str, set[str]] = {}
    for row in rows:
        clusters.setdefault(row.cluster, set()).add(row.split)
    pairs = suite.kind == "pairs"
    counts = {
        "duplicates": len(rows) - len({_texts(row) for row in rows}),
        "contradictory": _contradictory(rows),
        "clusters": len(clusters),
        "repeated_turns": len(rows) - len(clusters),
        "leaking_clusters": sum(len(found) > 1 for found in clusters.values()),
        "prefix": sum(_one_begins_with_other(row) for row in rows) if pairs else 0,
        "longer_wins": _longer_wins(rows) if pairs and rows else None,
        "desirable": None if pairs else sum(row.desirable for row in rows),
    }
    splits = Counter(row.split for row in rows)
    splits = {split: splits[split] for split in SPLITS}
    return Audit(
        name=suite.name, kind=suite.kind, read=suite.read, kept=len(rows), dropped=suite.dropped,
        splits=splits, lengths=_all_lengths(rows), advice=_advice(len(rows), splits, counts), **counts,
    )  # fmt: skip


def lines(found: Audit) -> list[str]:
    """The audit as plain lines for a terminal; dataset text never appears in them."""
    dropped = ", ".join(f"{rule} {count}" for rule, count in found.dropped.items()) or "none"
    splits = ", ".join(f"{split} {count}" for split, count in found.splits.items())
    unit = "pairs" if found.kind == "pairs" else "examples"
    report = [
        f"{found.name}: {found.kept} {unit} kept of {found.read} read",
        f"  dropped: {dropped}",
        f"  splits: {splits}",
        f"  first human turns: {found.clusters} distinct, {found.repeated_turns} rows repeat one",
        f"  duplicates: {found.duplicates}; contradictory: {found.contradictory}",
        f"  first turns in two splits: {found.leaking_clusters}",
    ]
    for what, length in found.lengths.items():
        report.append(
            f"  {what}: median {length.median_words:g} words ({length.median_characters:g} characters), "
            f"longest {length.longest_words} ({length.longest_characters})"
        )
    if found.longer_wins is not None:
        report.append(f"  one answer begins with the other: {found.prefix}")
        report.append(f"  preferring the longer answer is right in {found.longer_wins:.3f} of pairs")
    if found.desirable is not None:
        report.append(f"  desirable: {found.desirable} of {found.kept}")
    return report + [f"  advice: {line}" for line in found.advice]


def _advice(kept: int, splits: Mapping[str, int], counts: Mapping) -> tuple[str, ...]:
    """What a careful reader of the numbers would do next."""
    advice = [f"no {split} rows: give a split column or more data" for split in SPLITS if not splits[split]]
    if counts["leaking_clusters"]:
        advice.append(
            f"{counts['leaking_clusters']} first turns lie in more than one split; check the split column"
        )
    if counts["contradictory"] > CONTRADICTION_ADVICE_SHARE * kept:
        advice.append(f"{counts['contradictory']} rows contradict another row: noisy preferences; "
                      "clean them or try robust losses")  # fmt: skip
    if counts["duplicates"]:
        advice.append(
            f"{counts['duplicates']} rows repeat another row word for word; they count several times"
        )
    if counts["repeated_turns"] > CLUSTER_ADVICE_SHARE * kept:
        advice.append("many rows share a first turn: only standard errors clustered on it are honest")
    low, high = LENGTH_ADVICE
    if counts["longer_wins"] is not None and not low <= counts["longer_wins"] <= high:
        side = "longer" if counts["longer_wins"] > high else "shorter"
        advice.append(f"the chosen answer is usually the {side} one: read the length-balanced accuracy")
    if counts["desirable"] in (0, kept) and counts["desirable"] is not None:
        advice.append("all rows carry the same label: nothing can be preferred")
    return tuple(advice)


def _texts(row: Pair | Example) -> tuple:
    """What makes two rows the same: all texts and, for examples, the judgement."""
    return (row.prompt, *_answers(row).values(), getattr(row, "desirable", None))


def _answers(row: Pair | Example) -> dict[str, str]:
    if isinstance(row, Pair):
        return {"chosen": row.chosen, "rejected": row.rejected}
    return {"completion": row.completion}


def _contradictory(rows: Iterable[Pair | Example]) -> int:
    """Rows whose verdict is reversed by another row with the same texts."""
    verdicts: dict[tuple, set] = {}
    keys = []
    for row in rows:
        if isinstance(row, Pair):
            answers, verdict = frozenset((row.chosen, row.rejected)), row.chosen
        else:
            answers, verdict = row.completion, row.desirable
        keys.append((row.prompt, answers))
        verdicts.setdefault(keys[-1], set()).add(verdict)
    return sum(len(verdicts[key]) > 1 for key in keys)


def _one_begins_with_other(row: Pair) -> bool:
    return row.chosen.startswith(row.rejected) or row.rejected.startswith(row.chosen)


def _longer_wins(rows: Iterable[Pair]) -> float:
    """Accuracy of "prefer the longer answer" in characters, ties one half."""
    scores = [
        (len(row.chosen) > len(row.rejected)) + 0.5 * (len(row.chosen) == len(row.rejected)) for row in rows
    ]
    return sum(scores) / len(scores)


def _all_lengths(rows: Iterable[Pair | Example]) -> dict[str, Lengths]:
    """Lengths of prompts (all turns together) and of each kind of answer."""
    texts: dict[str, list[str]] = {}
    for row in rows:
        texts.setdefault("prompt", []).append("\n\n".join(message.content for message in row.prompt))
        for what, answer in _answers(row).items():
            texts.setdefault(what, []).append(answer)
    return {what: _lengths(found) for what, found in texts.items()}


def _lengths(texts: list[str]) -> Lengths:
    characters, words = [len(text) for text in texts], [len(text.split()) for text in texts]
    return Lengths(median(characters), max(characters), median(words), max(words))
