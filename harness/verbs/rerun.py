"""One stored cell trained again from its recorded command, and held to the stored one bit for bit; an external
checkpoint is measured again.

The reference is measured again too (store=false); threads, layout and the cut of the batch are those of the row,
because they move last bits. What generation, judges and lm-eval added to the cell is not made again.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.cells.sweep import Sweep, prepare_sweep
from harness.data.perturbations import Perturbations
from harness.engines.run import machine_of
from harness.engines.worker import Worker
from harness.errors import UsageError
from harness.experiment.trial import Trial
from harness.options.cards import cards
from harness.options.evaluate import evaluate_cards
from harness.options.fields import OptionCard, Scope
from harness.options.lookup import read_options
from harness.progress import Progress
from harness.verbs.evaluate import prepare_evaluation, read_evaluate_options
from results.cells import store
from results.cells.frames import read_parquet
from results.cells.verify import Finding
from results.schema.row import (
    CURVE_COLUMNS,
    PAIR_COLUMNS,
    RERANK_COLUMNS,
    ROW_COLUMNS,
    RUN_METRIC_COLUMNS,
    SINCE_LATER,
    VOLATILE,
    VOLATILE_CURVE,
)

if TYPE_CHECKING:
    from pandas import DataFrame

REMEDY = "the stored cell does not come out of its command here: look for what differs, and trust neither before"
_OF_ITS_OWN = (Scope.MACHINE, Scope.MEASUREMENT)
"""What a rerun decides itself, and measurements that were added to the cell, which it does not make again."""


class Rerun(NamedTuple):
    """What differs, and what is worth knowing."""

    findings: list[Finding]
    notes: list[str]


def rerun(folder: Path, changed: Sequence[str], progress: Progress) -> Rerun:
    """Trains the cell of `folder` again in a temporary folder and compares; `changed` words replace recorded ones.

    Raises: UsageError for a cell without a result or a command, and where the command cannot be carried out.
    """
    row = store.read_row(folder)
    if row.get("status") != "done":
        raise UsageError([f"{folder} is {row.get('status')}, so there is nothing to compare; rerun= takes a done cell"])
    with tempfile.TemporaryDirectory(prefix="verify-") as temporary:
        sweep = _sweep(
            _words(row, folder, changed, Path(temporary)), is_external(row), progress, str(row.get("command"))
        )
        # Cells that follow from a search are not among the command's own.
        trials = sweep.trials if is_external(row) else [*sweep.trials, _as_stored(row)]
        trial = next((t for t in trials if sweep.identity.cell_id(t) == row["cell"]), None)
        if trial is None:
            return Rerun([Finding(folder, _what_changed(sweep, folder), "name what has moved, e.g. suite.path=")], [])
        progress.expect(trial.round)
        worker = Worker(sweep, trial.chain, progress)
        for one in trial.chain:  # a later round begins with the weights of those before
            worker.run(one, save=False)
        retrained = sweep.folder(trial)
        notes = _notes(row, sweep)
        if not store.is_done(retrained):
            reason = (
                store.read_row(retrained).get("reason") if (retrained / store.ROW).exists() else "it stored nothing"
            )
            return Rerun([Finding(folder, f"failed when it was run again: {reason}", REMEDY)], notes)
        differing = list(differences(folder, retrained))
        if not differing:
            notes.append(f"{folder}: the rerun is equal to the last bit outside the volatile columns")
        return Rerun(differing, notes)


def is_external(row: Mapping[str, Any]) -> bool:
    """Whether the cell was measured by `evaluate`: an external checkpoint, or the baseline of its table."""
    return "evaluate" in shlex.split(row.get("command") or "")[:4]


def _sweep(argv: list[str], external: bool, progress: Progress, command: str) -> Sweep:
    if external:
        return prepare_evaluation(read_evaluate_options(argv), progress, command)
    options = read_options(argv)[0]
    return prepare_sweep(options, machine_of(options, progress), progress, command)


def _words(row: Mapping[str, Any], folder: Path, changed: Sequence[str], out: Path) -> list[str]:
    """The words of the command that made the row, as a rerun needs them."""
    recorded = shlex.split(row.get("command") or "")
    verb = "evaluate" if is_external(row) else "run"
    if verb not in recorded and not changed:
        raise UsageError([f"{folder}: its row records no command; give the words of the run after rerun="])
    words = recorded[recorded.index(verb) + 1 :] if verb in recorded else []
    keys = {card.name: card for card in (evaluate_cards() if verb == "evaluate" else cards())}
    given = set(map(_key, changed))
    settled = _as_computed(row, keys.values()) | _of_the_rerun(row, out)
    settled = {key: value for key, value in settled.items() if key in keys and key not in given}
    kept = [word for word in words if _key(word) not in given | settled.keys() and not _is_its_own(_key(word), keys)]
    return [*kept, *changed, *(f"{key}={value}" for key, value in settled.items())]


def _key(word: str) -> str:
    return word.partition("=")[0]


def _is_its_own(key: str, keys: Mapping[str, OptionCard]) -> bool:
    """Whether a recorded key, or the one that a judge's setting belongs to, is decided by the rerun."""
    card = keys.get("judge" if key.startswith("judge.") else key)
    return card is not None and card.scope in _OF_ITS_OWN


def _as_computed(row: Mapping[str, Any], keys: Iterable[OptionCard]) -> dict[str, Any]:
    """What `auto` came to where the cell was trained: last bits follow from it."""
    decided = [card for card in keys if card.scope in (Scope.TRAINING, Scope.COMPUTATION) and card.default == "auto"]
    return {card.name: row[card.field] for card in decided if row.get(card.field) is not None}


def _of_the_rerun(row: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Where a rerun takes place: in this process, on a cell's kind of device, with nothing kept."""
    device = {"device": "cpu"} if str(row.get("device", "")).startswith("cpu") else {}
    return {"store": "false", "workers": 0, "out": out, **device}


def _as_stored(row: Mapping[str, Any]) -> Trial:
    """The trial of a row's own settings."""
    perturbations = Perturbations(
        row["train_pairs"], row["label_noise"] or 0.0, bool(row["length_balance"]), row["min_margin"]
    )
    return Trial(
        row["loss"],
        json.loads(row["hyperparameters"]),
        row["lr"],
        row["seed"],
        row["control"],
        perturbations=perturbations,
    )


def _what_changed(sweep: Sweep, folder: Path) -> str:
    """Which parts of the identity the command no longer leads to."""
    stored = json.loads((folder / store.CELL).read_text(encoding="utf-8"))
    axes = ("loss", "hyperparameters", "lr", "seed", "round")
    for trial in sweep.trials:
        cell = json.loads(json.dumps(sweep.identity.cell(trial)))
        if all(cell.get(name) == stored.get(name) for name in axes):
            parts = sorted(name for name in stored.keys() | cell.keys() if stored.get(name) != cell.get(name))
            shown = "; ".join(f"{name} was {stored.get(name)}, is {cell.get(name)}" for name in parts)
            return f"its command leads to another cell now: {shown}"
    return "its command no longer holds this cell"


def _notes(row: Mapping[str, Any], sweep: Sweep) -> list[str]:
    here = sweep.machine.device_name
    if (several := row.get("processes") or 1) > 1:
        return [f"stored by {several} processes, run again by one: the last bits may differ"]
    if row.get("device") == here and here.startswith("cpu"):
        return []
    return [f"stored on {row.get('device')}, run again on {here}: the last bits may differ"]


def differences(stored: Path, retrained: Path) -> Iterator[Finding]:
    """Where two cells differ outside the volatile columns; the row's, then those of the tables."""
    first, second = store.read_row(stored), store.read_row(retrained)
    later = {column.name for column in (*RUN_METRIC_COLUMNS, *RERANK_COLUMNS)}
    unknown = {name for name in SINCE_LATER if first.get(name) is None}  # the row is older than these columns
    for column in ROW_COLUMNS:
        old, new = first.get(column.name), second.get(column.name)
        if column.name in VOLATILE | unknown or old == new or (new is None and column.name in later):
            continue
        yield Finding(stored / store.ROW, f"{column.name} is {old!r}, run again {new!r}", REMEDY)
    for name, columns, volatile in ((store.PAIRS, PAIR_COLUMNS, ()), (store.CURVE, CURVE_COLUMNS, VOLATILE_CURVE)):
        if (stored / name).exists() != (retrained / name).exists():
            yield Finding(stored / name, "is in one of the two cells only", REMEDY)
        elif (stored / name).exists():
            old, new = (read_parquet(place / name, columns, name) for place in (stored, retrained))
            yield from _table_differences(stored / name, old, new, volatile)


def _table_differences(place: Path, old: DataFrame, new: DataFrame, volatile: Sequence[str]) -> Iterator[Finding]:
    """Columns of a table that are not equal bit for bit, with how far and in how many rows."""
    if len(old) != len(new):
        yield Finding(place, f"has {len(old)} rows, run again {len(new)}", REMEDY)
        return
    for name in new.columns:
        if name in volatile or (name in old.columns and old[name].equals(new[name])):
            continue
        if name not in old.columns:
            yield Finding(place, f"lacks the column {name}", REMEDY)
            continue
        unequal = ~((old[name] == new[name]) | (old[name].isna() & new[name].isna()))
        far = f", by {(old[name] - new[name]).abs().max():.3g} at most" if new[name].dtype.kind in "fi" else ""
        yield Finding(place, f"{name} differs in {int(unequal.sum())} of {len(new)} rows{far}", REMEDY)
