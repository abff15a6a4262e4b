"""One cell, from starting weights to a stored row."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import losses
from harness.cache import building
from harness.cells.callbacks import Evaluations, StepLog
from harness.cells.columns import describe, rows_of
from harness.cells.missing import Missing
from harness.cells.places import Places
from harness.cells.rounds import Before, collect
from harness.compute import ranks
from harness.compute.machine import commit, peak_memory, reset_peak_memory, versions
from harness.data.dataset import Data
from harness.errors import NonFinite, TooFewPairs
from harness.evaluation.finished import Addition
from harness.evaluation.measurements import Additions, Outputs
from harness.evaluation.pair_table import pair_table
from harness.experiment.identity import Identity
from harness.experiment.trial import Trial
from harness.model.policy import WrongWeights
from harness.model.sources import Source
from harness.redaction import redacted
from harness.training.callbacks import Callback
from harness.training.checkpoint import Checkpoints
from harness.training.curve import Curve
from harness.training.gradient import StepZeroMismatch
from harness.training.loaded_model import LoadedModel
from harness.training.loop import train
from results.cells import store
from results.metrics import diagnosis
from results.metrics.row import derived

if TYPE_CHECKING:
    from pandas import DataFrame

# What ends a cell and not the sweep. Anything else is a fault of ours and is shown as such.
CELL_ERRORS = (NonFinite, StepZeroMismatch, WrongWeights, TooFewPairs)


class CellFailed(RuntimeError):
    """The cell ended without a result; its row says why."""


@dataclasses.dataclass
class CellRunner:
    """One loaded model, and what is measured with it besides the held-out rows: what one cell after another needs.

    callbacks: who else looks on, in this process.
    """

    loaded: LoadedModel
    callbacks: Sequence[Callback] = ()

    def __post_init__(self) -> None:
        if ranks.count() > 1:
            self.additions.prepare()  # while all processes are here: rank 0 may need it before they do, and alone

    @cached_property
    def additions(self) -> Additions:
        """What is measured on the policies besides the held-out rows."""
        return Additions(self.loaded)


def run_cell(
    runner: CellRunner,
    trial: Trial,
    places: Places,
    *,
    save: bool,
    lacks: Missing,
    before: Before | None = None,
    hand_on: bool = False,
) -> Mapping[str, Any]:
    """Trains and measures one cell and stores it, or adds what alone it lacks; returns its row.

    before: what the round before left, for a later one. hand_on: keep the weights for a next round.
    Raises: CellFailed after the failed row is stored.
    """
    if not lacks.needs_training:
        return _completed(runner, trial, places, lacks)
    loaded, clock = runner.loaded, _Clock()
    reset_peak_memory(loaded.machine.device)
    row = describe(loaded.identity, trial) | _provenance(loaded)
    for callback in runner.callbacks:
        callback.on_start(row)
    log = [f"{clock.started:%Y-%m-%d %H:%M:%S} UTC: {trial.label}"]
    try:
        measured = ranks.run_on_all_ranks(
            lambda: measured_together(runner, trial, places, before, log), "cell", trial, places, before
        )
        row |= rows_of(measured.data, trial, loaded.options) if measured.data else {}
    except CELL_ERRORS as error:
        row["seconds"] = clock.seconds
        raise CellFailed(_store_failed(loaded.identity, trial, places.folder, row, str(error), log)) from error
    if (save or hand_on) and trial.loss != "none":
        save_model(loaded, places.model if save else places.next_round)
    row |= runner.additions.of_model(trial)
    measured.pairs = runner.additions.on_pairs(measured.pairs)  # from here on the trained weights may be gone
    addition = runner.additions.of_reference() if trial.loss == "none" else runner.additions.of_policy(measured.outputs)
    row |= _numbers(loaded, trial, measured, {**row, **addition.columns}) | clock.cost(loaded)
    return _store(runner, trial, places, row, measured, addition, log)


def _completed(runner: CellRunner, trial: Trial, places: Places, lacks: Missing) -> Mapping[str, Any]:
    """Adds to a finished cell what it lacks, without training; its row, NaN where that holds nothing."""
    if trial.loss == "none":
        addition = runner.additions.of_reference()
    else:
        addition = runner.additions.of_finished(places.folder, places.model_of(trial), lacks.measurements)
    store.add_measurement(places.folder, **addition._asdict())
    return {name: math.nan if value is None else value for name, value in store.read_row(places.folder).items()}


def _store(
    runner: CellRunner,
    trial: Trial,
    places: Places,
    row: dict[str, Any],
    measured: _Measured,
    addition: Addition,
    log: Sequence[str],
) -> Mapping[str, Any]:
    """Writes the finished cell, and tells whoever looks on; the row as it is then."""
    # A cell that is trained once more (to keep its model, say) holds what other measurements added to it.
    earlier = store.read_row(places.folder) if store.is_done(places.folder) else {}
    row = {name: value for name, value in earlier.items() if name != "files"} | row
    store.write_cell(
        places.folder,
        cell=dict(runner.loaded.identity.cell(trial)),
        row=row,
        pairs=measured.pairs,
        curve=measured.curve_table(),
        log="\n".join(log),
    )
    if addition.columns:
        store.add_measurement(places.folder, **addition._asdict())
    places.drop_checkpoints()
    for callback in runner.callbacks:
        callback.on_cell(row)
    return row


def store_lost(identity: Identity, trial: Trial, folder: Path, cause: str) -> None:
    """The failed row of a cell whose process is gone."""
    _store_failed(identity, trial, folder, describe(identity, trial), cause)


def _store_failed(
    identity: Identity, trial: Trial, folder: Path, row: Mapping[str, Any], cause: str, log: Sequence[str] = ()
) -> str:
    """Writes the failed cell; the reason in its row."""
    reason = redacted(cause)
    row = {**row, "status": "failed", "reason": reason}
    store.write_failed(folder, cell=dict(identity.cell(trial)), row=row, log="\n".join([*log, reason]))
    return reason


class _Clock:
    """When a cell began."""

    def __init__(self) -> None:
        self.started, self._began = datetime.now(UTC), time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def cost(self, loaded: LoadedModel) -> dict[str, Any]:
        """The columns of what the cell has cost up to now."""
        return {
            "seconds": self.seconds,
            "peak_memory_bytes": peak_memory(loaded.machine.device),
            "started": f"{self.started:%Y-%m-%dT%H:%M:%SZ}",
            "finished": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }


@dataclasses.dataclass
class _Measured:
    """pairs: every evaluation, one below the other; curve: one row a step; outputs: what else was taken of the policy;
    data: with the rows of a later round."""

    pairs: DataFrame
    curve: Curve
    outputs: Outputs = dataclasses.field(default_factory=dict)
    data: Data | None = None

    def curve_table(self) -> DataFrame | None:
        import pandas as pd

        return pd.DataFrame(self.curve) if self.curve else None


def measured_together(
    runner: CellRunner, trial: Trial, places: Places, before: Before | None, log: list[str]
) -> _Measured:
    """What the processes of a cell have in common: the training and its evaluations, or those of a model that is."""
    loaded = runner.loaded
    if ranks.sharded():
        _ = loaded.noise_floors  # passes of the model that rank 0 cannot make alone
    if trial.external_checkpoint is not None:
        return _measure_external(runner, trial.external_checkpoint)
    return _measure_untrained(loaded) if trial.loss == "none" else _train(runner, trial, places, before, log)


def _measure_external(runner: CellRunner, external: Source) -> _Measured:
    """An external checkpoint, at step 0, because no step was taken here."""
    loaded = runner.loaded
    reference = loaded.evaluation_reference
    runner.additions.prepare()
    model = loaded.policy.load(external.folder)
    policy = loaded.evaluate(model)
    broken = sum(not all(completion.isfinite().all() for completion in row) for row in policy)
    if broken:
        raise NonFinite(
            f"{external.name}: log-probs of {broken} of {len(policy)} rows are not finite; its weights overflow"
        )
    return _Measured(pair_table(loaded.data_rows, policy, reference, 0), [], runner.additions.ask(model))


def _measure_untrained(loaded: LoadedModel) -> _Measured:
    """The baseline `none`: the policy is the reference."""
    reference = loaded.evaluation_reference
    return _Measured(pair_table(loaded.data_rows, reference, reference, 0), [])


def _train(runner: CellRunner, trial: Trial, places: Places, before: Before | None, log: list[str]) -> _Measured:
    import pandas as pd

    loaded = runner.loaded
    weights = before.weights if before else None
    data = collect(loaded, trial, before.weights) if before else None
    job = loaded.job(trial, loaded.identity.cell_id(trial), data, weights)
    _ = loaded.evaluation_reference  # before the policy begins: it is of the starting weights
    runner.additions.prepare()
    checkpoints = _checkpoints(loaded, places)
    model = loaded.policy.begin(trial.training_seed, weights)
    evaluations = Evaluations(loaded, model, job, checkpoints.folder if checkpoints else None, runner.callbacks)
    callbacks = [loaded, StepLog(log, loaded.progress, job.feed.steps), *runner.callbacks, evaluations]
    curve = train(loaded.trainer(model), job, callbacks, checkpoints)
    tables = evaluations.tables()
    if before:
        tables[0] = before.table()
    columns = list(tables[job.feed.steps].columns)
    whole = pd.concat([tables[step][columns] for step in sorted(tables)], ignore_index=True)
    return _Measured(whole, curve, runner.additions.ask(model), data)


def _checkpoints(loaded: LoadedModel, places: Places) -> Checkpoints | None:
    """Where the cell's state is kept, if it is: beside that of trainings with the same evaluations, because what lies
    behind a state is not measured again."""
    evals, every = loaded.options.evals, loaded.options.checkpoint_steps
    return Checkpoints(places.checkpoints_of(evals), every) if every else None


def save_model(loaded: LoadedModel, target: Path) -> None:
    """Writes the model just trained into a folder of its cell, whole or not at all."""
    shutil.rmtree(target, ignore_errors=True)
    with building(target) as temporary:
        loaded.policy.save(temporary, loaded.tokenizer)


def _provenance(loaded: LoadedModel) -> dict[str, Any]:
    return {
        "device": loaded.machine.device_name,
        "threads": loaded.machine.threads,
        "micro_batch": loaded.micro_batch,
        "micro_tokens": None if loaded.micro_batch else loaded.micro_tokens,
        "layout": loaded.layout,
        "activation_checkpointing": loaded.options.activation_checkpointing,
        "engine": loaded.options.engine,
        "workers": loaded.workers,
        "processes": ranks.processes(),
        "shard": loaded.options.shard,
        "out": loaded.options.out,
        "versions": json.dumps(dict(versions()), sort_keys=True),
        "commit": commit(),
        "command": loaded.command,
    }


def _numbers(loaded: LoadedModel, trial: Trial, measured: _Measured, known: Mapping[str, Any]) -> dict[str, Any]:
    """Every metric of the last evaluation, and the failure modes that show in these and in what is `known` besides."""
    noise, training_noise = loaded.noise_floors
    reward = losses.get(trial.loss).reward if trial.loss in losses.names() else None
    beta, pairs, curve = trial.hyperparameters.get("beta"), measured.pairs, measured.curve_table()
    numbers = {
        "status": "done",
        "reason": "",
        "noise_floor": noise,
        "training_noise_floor": training_noise if loaded.identity.trains else None,
        **derived(pairs, curve, reward=reward, beta=beta, noise_floor=noise),
    }
    # The modes alone: an audit only adds evidence, and the report has it.
    return numbers | {"diagnosis": diagnosis.modes(diagnosis.diagnose({**known, **numbers}, curve, pairs))}
