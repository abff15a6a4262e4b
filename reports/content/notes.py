"""What a table says about itself: how many seeds carry it, where the accuracies disagree, which failure modes show.

Each note is a sentence with its evidence; a diagnosis names a failure mode and what to try. No note calls a loss
better or worse.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas

from reports.content import axes
from reports.content.fields import COMPARED
from reports.content.tables import Protocol
from reports.text import numbers
from results.cells.frames import rows_of
from results.inference.test import CLAIM_SEEDS
from results.metrics.diagnosis import Finding, title

CONFIRMED = (
    "Shown are each loss's winner of the search and its default, on seeds that the search has not seen; a "
    "default is tested against its own winner alone and never bold."
)

_LISTED = 6
_EVIDENCE = {field.column: field.head for field in COMPARED}


def seeds_per_setting(rows: pandas.DataFrame) -> int:
    """The smallest number of seeds that a setting was trained with; 0 where nothing was trained."""
    if rows.empty or "seed" not in rows.columns:
        return 0
    settings = [numbers.label(row, seed=False) for row in numbers.records(rows, *numbers.LABELLED)]
    return int(rows["seed"].groupby(settings).nunique().min())


def finding(protocol: Protocol) -> str:
    """What the number of seeds allows to say; empty where no loss was trained."""
    seeds = seeds_per_setting(protocol.contenders)
    if seeds == 0:
        return ""
    if seeds < CLAIM_SEEDS:
        return f"{numbers.counted(seeds, 'seed')}: no claim about the losses"
    return f"{numbers.counted(seeds, 'seed')} a setting; the table describes runs, and `compare` tests the losses"


def notes(protocol: Protocol) -> tuple[str, ...]:
    """The notes of one protocol, in the order of importance."""
    rules = (_external, _perturbations, _disagreement, _length_baseline, _dropped)
    return tuple(note for note in (rule(protocol) for rule in rules) if note)


def _external(protocol: Protocol) -> str:
    """That a table is about models whose training is not known."""
    if "trained_model" not in protocol.done.columns or protocol.done["trained_model"].isna().all():
        return ""
    return (
        "External checkpoints: rows, budgets and learning rates may differ, so the table compares models and not "
        "losses."
    )


def _perturbations(protocol: Protocol) -> str:
    """Which axes of the training rows vary: across them nothing is ranked."""
    names = [axes.FIELDS[name].head for name in axes.varying(protocol.done)]
    if not names:
        return ""
    differ = f"The training rows differ in {', '.join(names)}: compare losses within equal values only."
    if "round" not in names:
        return differ
    return (
        f"{differ} In a later round each cell learns from its own policy's completions of prompts that all share: "
        "the losses share prompts and held-out rows, not training rows."
    )


def completions(found: pandas.DataFrame) -> str:
    """What the table of generated completions is about: how many prompts, and against what."""
    counts = _distinct(found, "generated_prompts")
    prompts = numbers.counted(int(counts[0]), "prompt") if len(counts) == 1 else "prompts"
    judges = [numbers.number(judge, "text") for judge in _distinct(found, "judge")]
    judged = f"; win rates against the reference's completions, judge {', '.join(judges)}" if judges else ""
    note = f"Completions of {prompts} after training{judged}."
    if len(_distinct(found, "generation")) > 1:
        note += " The cells completed different prompts, or in different ways: compare only those that agree."
    return note


def _disagreement(protocol: Protocol) -> str:
    """Cells that one of the two accuracies puts above and the other below one half."""
    rows = rows_of(protocol.contenders)
    cells = [f"{_name(protocol, row)}: {_both_accuracies(row)}" for row in rows if _disagrees(row)]
    if not cells:
        return ""
    return (
        "Preference accuracy and length-normalized accuracy lie on different sides of 0.5, so whether these learned "
        f"the preference depends on the metric: {_some(cells)}."
    )


def _disagrees(row: Mapping[str, Any]) -> bool:
    values: list[Any] = [row.get("preference_accuracy"), row.get("mean_ratio_accuracy")]
    if any(numbers.is_missing(value) for value in values):
        return False
    return bool((values[0] - 0.5) * (values[1] - 0.5) < 0)


def _both_accuracies(row: Mapping[str, Any]) -> str:
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
    scores = ", ".join(numbers.number(value, "share") for value in values)
    return f"Preferring the longer completion, without reading it, scores {scores} on these pairs."


def diagnosed(protocol: Protocol) -> str:
    """Which failure modes the finished cells name in their column `diagnosis`; empty where they name none."""
    cells: dict[str, list[str]] = {}
    for row in rows_of(protocol.contenders):
        if not numbers.is_missing(row.get("diagnosis")):
            for mode in filter(None, str(row["diagnosis"]).split(",")):
                cells.setdefault(mode, []).append(_name(protocol, row))
    modes = [f"{numbers.number(title(mode), 'text')} in {_some(named)}" for mode, named in cells.items()]
    return f"Diagnosis (the report has the evidence): {'. '.join(modes)}." if modes else ""


def warnings(protocol: Protocol, findings: Mapping[str, Sequence[Finding]]) -> tuple[tuple[str, str], ...]:
    """Each failure mode that some cell shows, with the losses of those cells: ("saturation", "dpo, orpo")."""
    shown: dict[str, dict[str, None]] = {}
    for row in rows_of(protocol.contenders):
        for finding in findings.get(row["cell"], ()):
            shown.setdefault(title(finding.mode), {})[numbers.number(row["loss"], "text")] = None
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
                f"{_EVIDENCE.get(name, name.replace('_', ' '))} {numbers.number(value, 'ratio')}"
                for name, value in finding.evidence.items()
            )
            shown.setdefault(finding.mode, []).append(f"{_name(protocol, row)} ({evidence})")
            last[finding.mode] = finding
    return tuple(
        f"{title(mode).capitalize()}: {_some(cells)}. Rule: {last[mode].threshold}. Try: {last[mode].remedy}."
        for mode, cells in shown.items()
    )


def _dropped(protocol: Protocol) -> str:
    """Training rows that the last, partial batch would have held."""
    values = [value for value in _distinct(protocol.done, "dropped_pairs") if value]
    if not values:
        return ""
    counts = ", ".join(numbers.number(value, "count") for value in values)
    return f"Training rows of the last, partial batch that were left out: {counts}."


def measured_on(rows: pandas.DataFrame, column: str, noun: str) -> str:
    """How many pairs or prompts a figure rests on, as a sentence; empty where that differs or is not known."""
    counts = _distinct(rows, column)
    return f" Measured on {numbers.counted(int(counts[0]), noun)}." if len(counts) == 1 else ""


def own_rewards(protocol: Protocol) -> str:
    """Which reward each loss declares as its own."""
    if "reward" not in protocol.done.columns:
        return ""
    named = protocol.done.loc[protocol.done["reward"].notna(), ["loss", "reward"]].drop_duplicates()
    pairs = [f"{numbers.number(loss, 'text')} {numbers.number(reward, 'text')}" for loss, reward in named.to_numpy()]
    return f"Own rewards: {', '.join(pairs)}." if pairs else ""


def reading(protocol: Protocol, *, is_tested: bool, is_confirmed: bool) -> str:
    """How to read the table of settings; whether some of it was tested over seeds and rows, and whether it is
    the confirmation of a search."""
    errors = (
        "Errors of tested columns are over seeds and test pairs; bold are all values that the test cannot "
        "distinguish from the best of their column."
        if is_tested
        else "Standard errors are over pairs, clustered on the first human turn, and say nothing about another seed."
    )
    sentences = (
        "Held-out test pairs.",
        "↑ and ↓ say which way a column improves; columns without an arrow have no good direction.",
        errors,
        CONFIRMED if is_confirmed else "",
        "Baselines are shaded." if protocol.done["control"].any() else "",
        own_rewards(protocol),
    )
    return " ".join(filter(None, sentences))


def _name(protocol: Protocol, row: Mapping[str, Any]) -> str:
    return numbers.label(row, seed=protocol.several_seeds)


def _distinct(rows: pandas.DataFrame, column: str) -> list[Any]:
    return sorted(rows[column].dropna().unique()) if column in rows.columns else []


def _some(entries: Sequence[str]) -> str:
    """The first entries, and how many more there are."""
    rest = len(entries) - _LISTED
    return "; ".join(entries[:_LISTED]) + (f"; and {numbers.counted(rest, 'more cell')}" if rest > 0 else "")


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
    """What distinguishes a protocol from others of the same data and model; empty where there are none."""
    alike = [
        other
        for other in everyone
        if all(other.shared.get(name) == protocol.shared.get(name) for name in ("suite", "model"))
    ]
    if len(alike) < 2:
        return ""
    known = dict.fromkeys(name for one in alike for name in one.shared if not name.endswith(("digest", "revision")))
    names = [name for name in known if len({one.shared.get(name) for one in alike}) > 1]
    named = [
        ", ".join(f"{name.replace('_', ' ')} {_shown(one.shared[name])}" for name in names if name in one.shared)
        for one in alike
    ]
    own = named[[one.id for one in alike].index(protocol.id)]
    if own and named.count(own) == 1:
        return own
    return ", ".join(filter(None, (own, f"protocol {numbers.number(protocol.id, 'text')}")))


def seeds(rows: pandas.DataFrame) -> tuple[tuple[str, str], ...]:
    """The seeds of some rows as a labelled fact; none where no row has one."""
    seeds = [numbers.number(value, "text") for value in _distinct(rows, "seed")]
    return (("seeds", ", ".join(seeds)),) if seeds else ()


def _shown(value: Any) -> str:
    return numbers.number(value, "text" if isinstance(value, str) else "count")


def summary(protocol: Protocol) -> str:
    """How many cells of which kind the protocol holds."""
    losses = protocol.rows.loc[~protocol.rows["control"], "loss"].nunique()
    baselines = int(protocol.done["control"].sum())
    parts = [
        numbers.counted(losses, "loss"),
        numbers.counted(len(protocol.contenders), "finished cell"),
        numbers.counted(baselines, "baseline"),
    ]
    if len(protocol.unfinished):
        parts.append(f"{numbers.counted(len(protocol.unfinished), 'cell')} without a result")
    return ", ".join(parts)
