"""What an audit says: facts for a terminal and a report, and advice. Dataset text never appears in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from suites.audit.near_duplicates import THRESHOLD, WORDS
from suites.pair import SPLITS

if TYPE_CHECKING:
    from suites.audit.report import Audit

CONTRADICTION_ADVICE_SHARE = 0.01
LENGTH_ADVICE = (0.45, 0.55)
LENGTH_ALARM = 0.60
CLUSTER_ADVICE_SHARE = 0.05
FEW_ROWS = 5000
LOW_AGREEMENT = 0.70


class Fact(NamedTuple):
    """One finding: what it is about, and what was found."""

    label: str
    text: str


def facts(found: Audit) -> list[Fact]:
    """The audit as labelled sentences."""
    unit = _unit(found)
    splits = ", ".join(f"{split} {count}" for split, count in found.splits.items())
    dropped = ", ".join(f"{rule} {count}" for rule, count in found.dropped.items()) or "none"
    listed = [
        Fact(found.name, f"{found.kept} {unit} kept of {found.read} read"),
        Fact("dropped", dropped),
        Fact("splits", splits),
        Fact("first human turns", f"{found.clusters} distinct, {found.repeated_turns} rows repeat one"),
        Fact("first turns in two splits", str(found.leaking_clusters)),
        Fact(
            "near leaks",
            f"{found.near_leaks} held-out rows nearly repeat a training prompt (word {WORDS}-grams, Jaccard >= "
            f"{THRESHOLD:g})",
        ),
        Fact("duplicates", f"{found.duplicates}; contradictory: {found.contradictory}"),
    ]
    for what, length in found.lengths.items():
        listed.append(
            Fact(
                what,
                f"median {length.median_words:g} words ({length.median_characters:g} characters), "
                f"longest {length.longest_words} ({length.longest_characters})",
            )
        )
    if found.longer_wins is not None:
        listed.append(
            Fact(
                "one completion begins with the other",
                f"{found.prefix} (rejected goes on from chosen {found.chosen_is_prefix}, chosen from rejected "
                f"{found.rejected_is_prefix})",
            )
        )
        listed.append(Fact("preferring the longer completion", f"right in {found.longer_wins:.3f} of pairs"))
    if found.desirable is not None:
        listed.append(Fact("desirable", f"{found.desirable} of {found.kept}"))
    if found.agreement is not None:
        listed.append(Fact("agreement", f"{found.agreement:.3f} of votes, over {found.agreement_rows} rows with votes"))
    return listed


def lines(found: Audit) -> list[str]:
    """Facts and advice as plain lines for a terminal."""
    (head, text), *rest = facts(found)
    shown = [*rest, *(Fact("advice", line) for line in found.advice)]
    return [f"{head}: {text}", *(f"  {label}: {text}" for label, text in shown)]


def advice(found: Audit) -> tuple[str, ...]:
    """What a careful reader of the numbers would do next."""
    return (*_about_rows(found), *_about_preferences(found))


def _unit(found: Audit) -> str:
    return str(found.kind)


def _about_rows(found: Audit) -> Iterator[str]:
    for split in SPLITS:
        if not found.splits[split]:
            yield f"no {split} rows: give a split column or more data"
    if found.kept < FEW_ROWS:
        yield (
            f"fewer than {FEW_ROWS:,} {_unit(found)}: expect wide intervals and little to learn beyond style and length"
        )
    if found.leaking_clusters:
        yield f"{found.leaking_clusters} first turns lie in more than one split; check the split column"
    if found.near_leaks:
        yield (
            f"{found.near_leaks} held-out rows nearly repeat a training prompt: held-out accuracy flatters; give such "
            "rows one cluster, or drop them"
        )
    if found.duplicates:
        yield f"{found.duplicates} rows repeat another row word for word; they count several times"
    if found.repeated_turns > CLUSTER_ADVICE_SHARE * found.kept:
        yield "many rows share a first turn: only standard errors clustered on it are honest"


def _about_preferences(found: Audit) -> Iterator[str]:
    if found.contradictory > CONTRADICTION_ADVICE_SHARE * found.kept:
        yield f"{found.contradictory} rows contradict another row: noisy preferences; clean them or try robust losses"
    if found.agreement is not None and found.agreement < LOW_AGREEMENT:
        yield (
            f"annotators agree in {found.agreement:.0%} of votes, under {LOW_AGREEMENT:.0%}: noisy preferences, and no "
            "model can be right much more often; clean them or try robust losses"
        )
    low, high = LENGTH_ADVICE
    if found.longer_wins is not None and not low <= found.longer_wins <= high:
        side, share = ("longer", found.longer_wins) if found.longer_wins > high else ("shorter", 1 - found.longer_wins)
        alarm = (
            f" ({share:.0%}, above {LENGTH_ALARM:.0%}: length alone would look like a good loss; balance the lengths)"
            if share > LENGTH_ALARM
            else ""
        )
        yield f"the chosen completion is usually the {side} one{alarm}: read the length-balanced accuracy"
    if found.desirable is not None and found.desirable in (0, found.kept):
        yield "all rows carry the same label: nothing can be preferred"
