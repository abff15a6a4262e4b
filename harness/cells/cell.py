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
from harness.cells.rounds import Before, collect
from harness.compute import ranks
from harness.compute.machine import commit, peak_memory, reset_peak_memory, versions
from harness.data.dataset import Data
from harness.data.tokens import item_of
from harness.errors import NonFinite, TooFewPairs
from harness.evaluation import alignment_tax
from harness.evaluation.answers import Addition
from harness.evaluation.measurements import Additions, Asked
from harness.evaluation.pair_table import pair_table
from harness.evaluation.similarity import Ches, ches, with_ches
from harness.experiment.identity import Identity
from harness.experiment.trial import Trial
from harness.model.logprobs import Scorer
from harness.model.policy import WrongWeights
from harness.redaction import redacted
from harness.training.callbacks import Callback
from harness.training.checkpoint import Checkpoints
from harness.training.curve import Curve
from harness.training.gradient import StepZeroMismatch
from harness.training.loaded_model import Bench
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

    bench: Bench
    callbacks: Sequence[Callback] = ()

    def __post_init__(self) -> None:
        if ranks.count() > 1:
            self.additions.prepare()  # while all processes are here: rank 0 may need it before they do, and alone

    @cached_property
    def additions(self) -> Additions:
        """What is measured on the policies besides the held-out rows."""
        return Additions(self.bench)

    @cached_property
    def ches(self) -> dict[str, Ches]:
        """The similarity of each evaluation pair's answers to the starting weights, by row id."""
        self.bench.policy.end()
        rows = [row for row in self.bench.data_rows if row.desirable is None]
        with self.bench.progress.stage(f"hidden states of {len(rows)} evaluation rows", len(rows)) as stage:
            found = ches(
                Scorer(self.bench.policy.base, "fp32"),
                [item_of(row) for row in rows],
                pad=self.bench.pad,
                advance=stage.advance,
            )
        return {row.id: one for row, one in zip(rows, found, strict=True)}


def run_cell(
    runner: CellRunner, trial: Trial, folder: Path, *, save: bool, before: Before | None = None, hand_on: bool = False
) -> Mapping[str, Any]:
    """Trains and measures one cell and stores it; returns its row.

    before: what the round before left, for a later one. hand_on: keep the weights for a next round.
    Raises: CellFailed after the failed row is stored.
    """
    bench = runner.bench
    finished = not hand_on and is_trained(bench, folder, save=save)
    if finished and (addition := _added_alone(runner, trial, folder)) is not None:
        store.add_measurement(folder, **addition._asdict())
        return {name: math.nan if value is None else value for name, value in store.read_row(folder).items()}
    identity = bench.identity
    began, started = time.perf_counter(), datetime.now(UTC)
    reset_peak_memory(bench.machine.device)
    row = describe(identity, trial) | _provenance(bench)
    log = [f"{started:%Y-%m-%d %H:%M:%S} UTC: {trial.label}"]
    try:
        measured = ranks.run_on_all_ranks(
            lambda: measured_together(runner, trial, folder, before, log), "cell", trial, folder, before
        )
        row |= rows_of(measured.data, trial, bench.options) if measured.data else {}
    except CELL_ERRORS as error:
        reason = redacted(str(error))
        row |= {"status": "failed", "reason": reason, "seconds": time.perf_counter() - began}
        store.write_failed(folder, cell=dict(identity.cell(trial)), row=row, log="\n".join([*log, reason]))
        raise CellFailed(reason) from error
    if (save or hand_on) and trial.loss != "none":
        save_model(bench, folder / (store.MODEL if save else store.NEXT_ROUND))
    row |= alignment_tax.of_cell(bench, trial) if bench.options.lm_eval else {}
    if bench.options.similarity == "ches":  # it needs the starting weights, so the trained ones have been saved before
        measured.pairs = with_ches(measured.pairs, runner.ches)
    addition = runner.additions.of_reference() if trial.loss == "none" else runner.additions.measure(measured.asked)
    answered = dict(addition.columns) if addition else {}
    row |= {"status": "done", "reason": "", **_numbers(bench, trial, measured)}
    # The modes alone: an audit only adds evidence, and the report has it.
    row["diagnosis"] = diagnosis.modes(diagnosis.diagnose(row | answered, measured.curve_table(), measured.pairs))
    row |= {
        "seconds": time.perf_counter() - began,
        "peak_memory_bytes": peak_memory(bench.machine.device),
        "started": f"{started:%Y-%m-%dT%H:%M:%SZ}",
        "finished": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    # A cell that is trained once more (to keep its model, say) holds what other measurements added to it.
    earlier = store.read_row(folder) if store.is_done(folder) else {}
    row = {name: value for name, value in earlier.items() if name != "files"} | row
    store.write_cell(
        folder,
        cell=dict(identity.cell(trial)),
        row=row,
        pairs=measured.pairs,
        curve=measured.curve_table(),
        log="\n".join(log),
    )
    if addition is not None:
        store.add_measurement(folder, **addition._asdict())
    shutil.rmtree(folder / store.CHECKPOINTS, ignore_errors=True)
    for callback in runner.callbacks:
        callback.on_cell(row)
    return row


def is_trained(bench: Bench, folder: Path, *, save: bool) -> bool:
    """Whether the cell is done, evaluated as asked and saved where asked, so that at most answers are missing."""
    if not store.is_done(folder):
        return False
    options, row = bench.options, store.read_row(folder)
    return (
        row["evals"] == options.evals
        and (options.similarity != "ches" or row.get("similarity") == "ches")
        and alignment_tax.is_measured(row, options.lm_eval)
        and (not save or (folder / store.MODEL).is_dir())
    )


def _added_alone(runner: CellRunner, trial: Trial, folder: Path) -> Addition | None:
    """What a finished cell lacks, where that needs no training."""
    kept = trial.given.folder if trial.given else folder / store.MODEL
    return runner.additions.of_finished(trial, folder, kept)


def store_lost(identity: Identity, trial: Trial, folder: Path, cause: str) -> None:
    """The failed row of a cell whose process is gone."""
    cause = redacted(cause)
    row = describe(identity, trial) | {"status": "failed", "reason": cause}
    store.write_failed(folder, cell=dict(identity.cell(trial)), row=row, log=cause)


@dataclasses.dataclass
class _Measured:
    """pairs: every evaluation, one below the other; curve: one row a step; asked: what additions were told;
    data: with the rows of a later round."""

    pairs: DataFrame
    curve: Curve
    asked: Asked = ()
    data: Data | None = None

    def curve_table(self) -> DataFrame | None:
        import pandas as pd

        return pd.DataFrame(self.curve) if self.curve else None


def measured_together(
    runner: CellRunner, trial: Trial, folder: Path, before: Before | None, log: list[str]
) -> _Measured:
    """What the processes of a cell have in common: the training and its evaluations, or those of a model that is."""
    bench = runner.bench
    if ranks.sharded():
        _ = bench.noise_floors  # passes of the model that rank 0 cannot make alone
    if trial.given is not None:
        return _measure_given(runner, trial)
    return _measure_untrained(bench) if trial.loss == "none" else _train(runner, trial, folder, before, log)


def _measure_given(runner: CellRunner, trial: Trial) -> _Measured:
    """A model that was trained elsewhere; step 0, because we took none."""
    bench = runner.bench
    reference = bench.evaluation_reference
    runner.additions.prepare()
    model = bench.policy.load(trial.given.folder)
    policy = bench.evaluate(model)
    broken = sum(not all(answer.isfinite().all() for answer in row) for row in policy)
    if broken:
        raise NonFinite(
            f"{trial.given.name}: log-probs of {broken} of {len(policy)} rows are not finite; its weights overflow"
        )
    return _Measured(pair_table(bench.data_rows, policy, reference, 0), [], runner.additions.ask(model))


def _measure_untrained(bench: Bench) -> _Measured:
    """The control `none`: the policy is the reference."""
    reference = bench.evaluation_reference
    return _Measured(pair_table(bench.data_rows, reference, reference, 0), [])


def _train(runner: CellRunner, trial: Trial, folder: Path, before: Before | None, log: list[str]) -> _Measured:
    import pandas as pd

    bench = runner.bench
    weights = before.weights if before else None
    data = collect(bench, trial, weights) if before else None
    job = bench.job(trial, bench.identity.cell_id(trial), data, weights)
    _ = bench.evaluation_reference  # before the policy begins: it is of the starting weights
    runner.additions.prepare()
    checkpoints = _checkpoints(bench, folder)
    model = bench.policy.begin(trial.seed, weights)
    evaluations = Evaluations(bench, model, job, checkpoints and checkpoints.folder, runner.callbacks)
    told = [bench, StepLog(log, bench.progress, job.feed.steps), *runner.callbacks, evaluations]
    curve = train(bench.trainer(model), job, told, checkpoints)
    tables = evaluations.tables()
    if before:
        tables[0] = before.table()
    columns = list(tables[job.feed.steps].columns)
    whole = pd.concat([tables[step][columns] for step in sorted(tables)], ignore_index=True)
    return _Measured(whole, curve, runner.additions.ask(model), data)


def _checkpoints(bench: Bench, folder: Path) -> Checkpoints | None:
    """Where the cell's state is kept, if it is: beside that of trainings with the same evaluations, because what lies
    behind a state is not measured again."""
    evals, every = bench.options.evals, bench.options.checkpoint_steps
    return Checkpoints(folder / store.CHECKPOINTS / f"evals-{evals}", every) if every else None


def save_model(bench: Bench, target: Path) -> None:
    """Writes the model just trained into a folder of its cell, whole or not at all."""
    shutil.rmtree(target, ignore_errors=True)
    with building(target) as temporary:
        bench.policy.save(temporary, bench.tokenizer)


def _provenance(bench: Bench) -> dict[str, Any]:
    return {
        "device": bench.machine.device_name,
        "threads": bench.machine.threads,
        "micro_batch": bench.micro_batch,
        "micro_tokens": None if bench.micro_batch else bench.micro_tokens,
        "layout": bench.layout,
        "activation_checkpointing": bench.options.activation_checkpointing,
        "engine": bench.options.engine,
        "workers": bench.workers,
        "processes": ranks.processes(),
        "shard": bench.options.shard,
        "out": bench.options.out,
        "versions": json.dumps(dict(versions()), sort_keys=True),
        "commit": commit(),
        "command": bench.command,
    }


def _numbers(bench: Bench, trial: Trial, measured: _Measured) -> dict[str, Any]:
    """Every metric of the last evaluation, and the cost."""
    noise, training_noise = bench.noise_floors
    reward = losses.get(trial.loss).reward if trial.loss in losses.names() else None
    floors = {"noise_floor": noise, "training_noise_floor": training_noise if bench.identity.trains else None}
    return floors | derived(
        measured.pairs, measured.curve_table(), reward=reward, beta=trial.hyperparameters.get("beta"), noise_floor=noise
    )
