"""The verdict as text: which losses are better, worse or not distinguishable, and with what evidence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reports.content import headline, notes
from reports.content.headline import TESTED, Standings
from reports.content.tables import Protocol
from reports.text import grids, numbers
from reports.text.grids import Grid
from results.inference import settings
from results.inference.standing import Place, Standing
from results.inference.test import CLAIM_SEEDS

Kind = Literal["better", "tied", "none"]
NOT_APART = "not distinguishable"
_SHOWN = 12
"""Most settings that the best one is set against in a table."""

_NAMED = 6
"""Most settings that a sentence names one by one."""


@dataclass(frozen=True)
class Verdict:
    """What may be said about the losses of one table, with its evidence.

    kind: "better" where some loss is, "tied" where none differs clearly from the best, "none" without a finding.
    grid: the best against the others. where: the data perturbations that its training rows share.
    """

    text: str
    evidence: tuple[str, ...] = ()
    grid: Grid | None = None
    where: str = ""
    kind: Kind = "none"


def verdicts(protocol: Protocol, found: Standings) -> tuple[Verdict, ...]:
    """One verdict for each group of equal data perturbations; a single one without a finding where seeds or tests are
    missing."""
    seeds = notes.seeds_per_setting(headline.ranked(protocol))
    if not seeds:
        return ()
    if seeds < CLAIM_SEEDS and not found:
        enough = numbers.counted(CLAIM_SEEDS, "seed")
        more = f"Train every setting with {enough} or more for a verdict: seeds=0,1,2."
        return (Verdict(f"{numbers.counted(seeds, 'seed')}: no claim about the losses.", (more,)),)
    if not found:
        return (_untested(protocol),)
    return tuple(_of_group(protocol, perturbations, found) for perturbations in found)


def _untested(protocol: Protocol) -> Verdict:
    """Why nothing was tested although there are seeds."""
    if headline.ranked(protocol)[TESTED[0]].isna().all():
        return Verdict("No verdict: the test rows hold single rated completions, and preference accuracy needs pairs.")
    count = len(set(settings.keys(headline.ranked(protocol))))
    if count > headline.MOST_TESTED:
        why = (
            f"{numbers.counted(count, 'setting')} are too many to be tested at once (at most "
            f"{numbers.number(headline.MOST_TESTED, 'count')})"
        )
        return Verdict(
            f"No verdict: {why}.",
            ("`search=random claim_seeds=3` tunes each loss and tests the winners; `compare` tests chosen losses.",),
        )
    return Verdict(
        "No verdict: no pair tables are stored on the same rows for all seeds, which the test over seeds "
        "and rows needs."
    )


def _of_group(protocol: Protocol, perturbations: str, found: Standings) -> Verdict:
    """The verdict on settings whose training rows are alike."""
    main, normalized = (found[perturbations][name] for name in TESTED)
    names = _names(protocol, main.places)
    best = main.places[0]
    against = {line["b"]: line for line in main.comparisons if line["a"] == best.label}
    other = {frozenset((line["a"], line["b"])): line for line in normalized.comparisons}
    contrary = [place for place in main.places[1:] if _contrary(against[place.label], other)]
    where = f" ({perturbations})" if perturbations else ""
    text = _text(main.places, names, contrary) + where
    grid = _grid(main.places, names, against, other) if len(main.places) > 1 else None
    evidence = _evidence(protocol, main, names, contrary, found)
    apart = [place for place in main.places[1:] if not place.tied and place not in contrary]
    kind: Kind = "none" if len(main.places) < 2 else "better" if apart else "tied"
    if headline.has_confirmation(protocol):
        evidence.append(_tuning(main))
    return Verdict(f"{text}.", tuple(filter(None, evidence)), grid, perturbations, kind)


def _text(places: Sequence[Place], names: Mapping[str, str], contrary: Sequence[Place]) -> str:
    """The verdict itself."""
    best, others = names[places[0].label], places[1:]
    if not others:
        return f"Nothing to compare: {best} alone has enough seeds"
    unclear = [place for place in others if place.tied or place in contrary]
    worse = [place for place in others if place not in unclear]
    if not worse:
        return f"Not distinguishable: {_listed(places, names)}"
    rest = f"; not distinguishable from {_listed(unclear, names)}" if unclear else ""
    return f"{best} is better than {_listed(worse, names)}{rest}"


def _evidence(
    protocol: Protocol, found: Standing, names: Mapping[str, str], contrary: Sequence[Place], everyone: Standings
) -> list[str]:
    """What the verdict rests on, and what limits it."""
    best = found.places[0]
    interval = headline.within(best.low, best.high)
    evidence = [
        f"{names[best.label]} has the highest preference accuracy, {numbers.number(best.value, 'share')} "
        f"(95 % {interval}, over {numbers.counted(best.seeds, 'seed')} and the test rows)."
    ]
    if best.low <= 0.5 <= best.high:
        evidence.append("That interval holds 0.500: on these pairs it is not distinguishable from the untrained model.")
    evidence += _detectable(found)
    if contrary:
        listed = _listed(contrary, names)
        evidence.append(
            f"By length-normalized accuracy the order is reversed against {listed}, so no direction is stated there."
        )
    mains = [standing[TESTED[0]] for standing in everyone.values()]
    placed = [len(one.places) + len(one.defaults) for one in mains]
    left_out = len(set(settings.keys(headline.ranked(protocol)))) - sum(placed)
    if left_out:
        evidence.append(
            f"Left out, with fewer than {numbers.counted(CLAIM_SEEDS, 'seed')}: {numbers.counted(left_out, 'setting')}."
        )
    counts = Counter(place.loss for place in found.places)
    if len(set(counts.values())) > 1 and not headline.has_confirmation(protocol):
        evidence.append(
            "The losses have different numbers of settings, so their best settings are not a fair comparison."
        )
    return evidence


def _detectable(found: Standing) -> list[str]:
    """The difference that the test would have found where it found none."""
    tied = {place.label for place in found.places[1:] if place.tied}
    detectable = [
        line["detectable"]
        for line in found.comparisons
        if line["a"] == found.places[0].label and line["b"] in tied and not numbers.is_missing(line["detectable"])
    ]
    if not detectable:
        return []
    ends = " to ".join(dict.fromkeys(numbers.number(end(detectable), "share") for end in (min, max)))
    return [
        f"Where no difference was found, a difference of {ends} would have been found in four cases of five; a "
        "smaller one may be there."
    ]


def _tuning(found: Standing) -> str:
    """What tuning was worth: each winner of a search against its loss's default, on fresh seeds."""
    defaults = {place.label: numbers.number(place.loss, "text") for place in found.defaults}
    gains = [
        f"{defaults[line['b']]} {numbers.number(line['difference'], 'change')} ({line['verdict']})"
        for line in found.comparisons
        if line["b"] in defaults
    ]
    return f"Winner against its loss's default: {', '.join(gains)}." if gains else ""


def _contrary(line: Mapping[str, Any], other: Mapping[frozenset[str], Mapping[str, Any]]) -> bool:
    """Whether length-normalized accuracy puts a clearly lower setting above the best, by more than one error."""
    second = other.get(frozenset((line["a"], line["b"])))
    if second is None or line["verdict"] == NOT_APART:
        return False
    difference = second["difference"] * (1 if second["a"] == line["a"] else -1)
    return bool(difference < -second["difference_se"])


def _grid(
    places: Sequence[Place],
    names: Mapping[str, str],
    against: Mapping[str, Mapping[str, Any]],
    other: Mapping[frozenset[str], Mapping[str, Any]],
) -> Grid:
    """The best against each other setting."""
    best = names[places[0].label]
    heads = (
        (f"{best} against", False),
        ("difference", True),
        ("95 % interval", True),
        (f"P({best} higher)", True),
        ("p (Holm)", True),
        ("detectable", True),
        ("length-normalized", True),
        ("verdict", False),
    )
    rows = []
    for place in places[1 : _SHOWN + 1]:
        line = against[place.label]
        second = other.get(frozenset((line["a"], line["b"])))
        turned = None if second is None else second["difference"] * (1 if second["a"] == line["a"] else -1)
        ends = " to ".join(numbers.number(line[end], "change") for end in ("low", "high"))
        rows.append(
            (
                numbers.number(place.loss, "text"),
                (
                    names[place.label],
                    numbers.number(line["difference"], "change"),
                    ends,
                    numbers.number(line["probability"], "share"),
                    numbers.number(line["p_holm"], "share"),
                    numbers.number(line["detectable"], "share"),
                    numbers.number(turned, "change"),
                    line["verdict"],
                ),
            )
        )
    return grids.plain(heads, rows)


def _names(protocol: Protocol, places: Sequence[Place]) -> dict[str, str]:
    """What each setting is called: its loss alone where that is enough."""
    rows = {row["cell"]: row for row in numbers.records(protocol.done, *numbers.LABELLED)}
    several = len({place.loss for place in places}) < len(places)
    found = {}
    for place in places:
        row = {**rows[place.cells[0]], "perturbations": ""}
        loss = numbers.number(place.loss, "text")
        found[place.label] = numbers.label(row, seed=False) if several else loss
    return found


def _listed(places: Sequence[Place], names: Mapping[str, str]) -> str:
    """Settings as a list; of many, how many each loss has."""
    if len(places) <= _NAMED:
        return _joined([names[place.label] for place in places])
    counts = Counter(numbers.number(place.loss, "text") for place in places)
    return _joined([f"{loss} ({numbers.counted(count, 'setting')})" for loss, count in counts.items()])


def _joined(names: Sequence[str]) -> str:
    """Names as a list with an "and"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
