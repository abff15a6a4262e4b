"""What a table says about itself: how many seeds carry it, where rulers disagree, where a strength was idle.

Each note is a sentence with its evidence; a diagnosis names a failure mode and what to try. No note calls a loss
better or worse.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas

from reports.content import axes
from reports.content.tables import Protocol
from reports.text import numbers
from results.cells.frames import rows_of
from results.inference.test import CLAIM_SEEDS
from results.metrics.diagnosis import Finding

CLAIMED = (
    "Shown are each loss's winner of the search and its default, on seeds that the search has not seen; a "
    "default is tested against its own winner alone and never bold."
)

_LISTED = 6


def seeds_per_setting(rows: pandas.DataFrame) -> int:
    """The smallest number of seeds that a setting was trained with; 0 where nothing was trained."""
    if rows.empty or "seed" not in rows.columns:
        return 0
    settings = [numbers.label(row, seed=False) for row in numbers.records(rows, *numbers.LABELLED)]
    return int(rows["seed"].groupby(settings).nunique().min())


def claim(protocol: Protocol) -> str:
    """What the number of seeds allows to say; empty where no loss was trained."""
    seeds = seeds_per_setting(protocol.contenders)
    if seeds == 0:
        return ""
    if seeds < CLAIM_SEEDS:
        return f"{numbers.counted(seeds, 'seed')}: no claim about the losses"
    return f"{numbers.counted(seeds, 'seed')} a setting; the table describes runs, and `compare` tests the losses"


def notes(protocol: Protocol) -> tuple[str, ...]:
    """The notes of one protocol, in the order of importance."""
    rules = (_elsewhere, _knobs, _disagreement, _length_baseline, _dropped)
    return tuple(note for note in (rule(protocol) for rule in rules) if note)


def _elsewhere(protocol: Protocol) -> str:
    """That a table is about models whose training is not known."""
    if "trained_model" not in protocol.done.columns or protocol.done["trained_model"].isna().all():
        return ""
    return (
        "Trained elsewhere: rows, budgets and learning rates may differ, so the table compares models and not losses."
    )


def _knobs(protocol: Protocol) -> str:
    """Which axes of the training rows vary: across them nothing is ranked."""
    names = [axes.FIELDS[name].head for name in axes.varying(protocol.done)]
    if not names:
        return ""
    differ = f"The training rows differ in {', '.join(names)}: compare losses within equal values only."
    if "round" not in names:
        return differ
    return (
        f"{differ} In a later round each cell learns from answers of its own policy to prompts that all are asked: "
        "the losses share prompts and held-out rows, not training rows."
    )


def answers(asked: pandas.DataFrame) -> str:
    """What the table of generated answers is about: how many prompts, and against what."""
    counts = _distinct(asked, "generated_prompts")
    prompts = numbers.counted(int(counts[0]), "prompt") if len(counts) == 1 else "prompts"
    judges = [numbers.number(judge, "text") for judge in _distinct(asked, "judge")]
    judged = f"; win rates against the reference's answers, judge {', '.join(judges)}" if judges else ""
    told = f"Answers to {prompts} after training{judged}."
    if len(_distinct(asked, "generation")) > 1:
        told += " The cells answered different prompts, or in different ways: compare only those that agree."
    return told


def _disagreement(protocol: Protocol) -> str:
    """Cells that one ruler puts above and the other below one half."""
    rows = rows_of(protocol.contenders)
    told = [f"{_name(protocol, row)}: {_both_rulers(row)}" for row in rows if _disagrees(row)]
    if not told:
        return ""
    return (
        "Sum ratio and mean ratio lie on different sides of 0.5, so whether these learned the preference depends on "
        f"the ruler: {_some(told)}."
    )


def _disagrees(row: Mapping[str, Any]) -> bool:
    values: list[Any] = [row.get("preference_accuracy"), row.get("mean_ratio_accuracy")]
    if any(numbers.is_missing(value) for value in values):
        return False
    return bool((values[0] - 0.5) * (values[1] - 0.5) < 0)


def _both_rulers(row: Mapping[str, Any]) -> str:
    pair = [
        numbers.with_error(row[name], row.get(f"{name}_se"), "share")
        for name in ("preference_accuracy", "mean_ratio_accuracy")
    ]
    return f"{pair[0]} against {pair[1]}"


def _length_baseline(protocol: Protocol) -> str:
    """What a scorer that only looks at length reaches on the same pairs."""
    values = _distinct(protocol.done, "longer_wins_baseline")
    if not values:
        return ""
    told = ", ".join(numbers.number(value, "share") for value in values)
    return f"Preferring the longer answer, without reading it, scores {told} on these pairs."


def diagnosed(protocol: Protocol) -> str:
    """Which failure modes the finished cells name in their column `diagnosis`; empty where they name none."""
    cells: dict[str, list[str]] = {}
    for row in rows_of(protocol.contenders):
        if not numbers.is_missing(row.get("diagnosis")):
            for mode in filter(None, str(row["diagnosis"]).split(",")):
                cells.setdefault(mode, []).append(_name(protocol, row))
    told = [f"{numbers.number(mode, 'text').replace('_', ' ')} in {_some(named)}" for mode, named in cells.items()]
    return f"Diagnosis (the report has the evidence): {'. '.join(told)}." if told else ""


def warnings(protocol: Protocol, findings: Mapping[str, Sequence[Finding]]) -> tuple[tuple[str, str], ...]:
    """Each failure mode that some cell shows, with the losses of those cells: ("beta inert", "dpo, orpo")."""
    shown: dict[str, dict[str, None]] = {}
    for row in rows_of(protocol.contenders):
        for finding in findings.get(row["cell"], ()):
            shown.setdefault(finding.mode.replace("_", " "), {})[numbers.number(row["loss"], "text")] = None
    return tuple((mode, ", ".join(losses)) for mode, losses in shown.items())


def diagnosis(protocol: Protocol, findings: Mapping[str, Sequence[Finding]]) -> tuple[str, ...]:
    """One paragraph a failure mode: the cells that show it with their evidence, the rule, what to try.

    `findings` are those of `results.diagnosis`, by cell id.
    """
    shown: dict[str, list[str]] = {}
    last: dict[str, Finding] = {}
    for row in rows_of(protocol.contenders):
        for finding in findings.get(row["cell"], ()):
            evidence = ", ".join(
                f"{name.replace('_', ' ')} {numbers.number(value, 'ratio')}" for name, value in finding.evidence.items()
            )
            shown.setdefault(finding.mode, []).append(f"{_name(protocol, row)} ({evidence})")
            last[finding.mode] = finding
    return tuple(
        f"{mode.replace('_', ' ').capitalize()}: {_some(cells)}. Rule: {last[mode].threshold}. "
        f"Try: {last[mode].remedy}."
        for mode, cells in shown.items()
    )


def _dropped(protocol: Protocol) -> str:
    """Training rows that the last, partial batch would have held."""
    values = [value for value in _distinct(protocol.done, "dropped_pairs") if value]
    if not values:
        return ""
    told = ", ".join(numbers.number(value, "count") for value in values)
    return f"Training rows of the last, partial batch that were left out: {told}."


def measured_on(rows: pandas.DataFrame, column: str, noun: str) -> str:
    """How many pairs or prompts a figure rests on, as a sentence; empty where that differs or is not known."""
    counts = _distinct(rows, column)
    return f" Measured on {numbers.counted(int(counts[0]), noun)}." if len(counts) == 1 else ""


def rulers(protocol: Protocol) -> str:
    """Which own ruler each loss declares."""
    if "reward" not in protocol.done.columns:
        return ""
    named = protocol.done.loc[protocol.done["reward"].notna(), ["loss", "reward"]].drop_duplicates()
    told = [f"{numbers.number(loss, 'text')} {numbers.number(ruler, 'text')}" for loss, ruler in named.to_numpy()]
    return f"Own rulers: {', '.join(told)}." if told else ""


def reading(protocol: Protocol, *, is_tested: bool, has_claim: bool) -> str:
    """How to read the table of settings; whether some of it was tested over seeds and rows, and a search's claim."""
    errors = (
        "Errors of tested columns are over seeds and test pairs; bold are all values that the test cannot tell from "
        "the best of their column."
        if is_tested
        else "Standard errors are over pairs, clustered on the first human turn, and say nothing about another seed."
    )
    told = (
        "Held-out test pairs.",
        "↑ and ↓ say which way a column improves; columns without an arrow have no good direction.",
        errors,
        CLAIMED if has_claim else "",
        "Controls are shaded." if protocol.done["control"].any() else "",
        rulers(protocol),
    )
    return " ".join(filter(None, told))


def _name(protocol: Protocol, row: Mapping[str, Any]) -> str:
    return numbers.label(row, seed=protocol.several_seeds)


def _distinct(rows: pandas.DataFrame, column: str) -> list[Any]:
    return sorted(rows[column].dropna().unique()) if column in rows.columns else []


def _some(told: Sequence[str]) -> str:
    """The first entries, and how many more there are."""
    rest = len(told) - _LISTED
    return "; ".join(told[:_LISTED]) + (f"; and {numbers.counted(rest, 'more cell')}" if rest > 0 else "")


def unfinished(protocol: Protocol) -> tuple[str, ...]:
    """The cells without a result, each with its status and reason."""
    return tuple(
        f"{_name(protocol, row)}: {numbers.number(row['status'], 'text')}: {_reason(row)}"
        for row in rows_of(protocol.unfinished)
    )


def _reason(row: Mapping[str, Any]) -> str:
    reason = row.get("reason")
    return "no reason recorded" if numbers.is_missing(reason) or reason == "" else numbers.number(reason, "text")


def identity(protocol: Protocol) -> tuple[tuple[str, str], ...]:
    """The settings that identify the protocol, as name and value."""
    pairs = [(name.replace("_", " "), _shown(value)) for name, value in protocol.shared.items()]
    return (*pairs, ("protocol", numbers.number(protocol.id, "text") or "not recorded"))


def apart(protocol: Protocol, everyone: Sequence[Protocol]) -> str:
    """What tells a protocol from others of the same data and model, in words; empty where there are none."""
    alike = [
        other
        for other in everyone
        if all(other.shared.get(name) == protocol.shared.get(name) for name in ("suite", "model"))
    ]
    if len(alike) < 2:
        return ""
    known = dict.fromkeys(name for one in alike for name in one.shared if not name.endswith(("digest", "revision")))
    names = [name for name in known if len({one.shared.get(name) for one in alike}) > 1]
    told = [
        ", ".join(f"{name.replace('_', ' ')} {_shown(one.shared[name])}" for name in names if name in one.shared)
        for one in alike
    ]
    own = told[[one.id for one in alike].index(protocol.id)]
    if own and told.count(own) == 1:
        return own
    return ", ".join(filter(None, (own, f"protocol {numbers.number(protocol.id, 'text')}")))


def seeds(rows: pandas.DataFrame) -> tuple[tuple[str, str], ...]:
    """The seeds of some rows as a labelled fact; none where no row has one."""
    told = [numbers.number(value, "text") for value in _distinct(rows, "seed")]
    return (("seeds", ", ".join(told)),) if told else ()


def _shown(value: Any) -> str:
    return numbers.number(value, "text" if isinstance(value, str) else "count")


def summary(protocol: Protocol) -> str:
    """How many cells of which kind the protocol holds."""
    losses = protocol.rows.loc[~protocol.rows["control"], "loss"].nunique()
    controls = int(protocol.done["control"].sum())
    parts = [
        numbers.counted(losses, "loss"),
        numbers.counted(len(protocol.contenders), "finished cell"),
        numbers.counted(controls, "control"),
    ]
    if len(protocol.unfinished):
        parts.append(f"{numbers.counted(len(protocol.unfinished), 'cell')} without a result")
    return ", ".join(parts)
