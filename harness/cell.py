"""One cell, from starting weights to a stored row."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import losses
from harness import alignment_tax, ranks
from harness.additions import Asked
from harness.bench import Bench
from harness.cache import building
from harness.evaluate import not_finite, pair_table
from harness.generations import Addition
from harness.gradient import NonFinite, StepZeroMismatch
from harness.grid import Trial
from harness.identity import Identity
from harness.knobs import eligible
from harness.loss_card import conventions
from harness.machine import commit, peak_memory, reset_peak_memory, versions
from harness.policy import WrongWeights
from harness.secrets import redacted
from harness.similarity import with_ches
from harness.sweep import CHECKPOINTS, MODEL_FOLDER
from harness.train import Curve, train
from results import diagnosis, store
from results.derived import derived

if TYPE_CHECKING:
    from pandas import DataFrame

# What ends a cell and not the sweep. Anything else is a fault of ours and is shown as such.
CELL_ERRORS = (NonFinite, StepZeroMismatch, WrongWeights)


# Columns that are not known of models trained elsewhere.
OF_TRAINING = ("train_pairs", "dropped_pairs", "batch_size", "epochs", "tuning", "precision")


class CellFailed(RuntimeError):
    """The cell ended without a result; its row says why."""


def run_cell(bench: Bench, trial: Trial, folder: Path, *, save: bool) -> Mapping[str, Any]:
    """Trains and measures one cell and stores it; returns its row.

    Raises: CellFailed after the failed row is stored.
    """
    if is_trained(bench, folder, save=save) and (addition := _added_alone(bench, trial, folder)) is not None:
        store.add_measurement(folder, **addition._asdict())
        return {name: math.nan if value is None else value for name, value in store.read_row(folder).items()}
    identity = bench.identity
    began, started = time.perf_counter(), datetime.now(UTC)
    reset_peak_memory(bench.machine.device)
    row = describe(identity, trial) | _provenance(bench)
    log = [f"{started:%Y-%m-%d %H:%M:%S} UTC: {trial.label}"]
    try:
        measured = ranks.together(lambda: measured_together(bench, trial, folder, log), "cell", trial, folder)
    except CELL_ERRORS as error:
        reason = redacted(str(error))
        row |= {"status": "failed", "reason": reason, "seconds": time.perf_counter() - began}
        store.write_failed(folder, cell=dict(identity.cell(trial)), row=row, log="\n".join([*log, reason]))
        raise CellFailed(reason) from error
    if bench.options.similarity == "ches":
        measured.pairs = with_ches(measured.pairs, bench.ches)
    if save and trial.loss != "none":
        save_model(bench, folder)
    row |= alignment_tax.of_cell(bench, trial) if bench.options.lm_eval else {}
    addition = bench.additions.of_reference() if trial.loss == "none" else bench.additions.measure(measured.asked)
    answered = dict(addition.columns) if addition else {}
    row |= {"status": "done", "reason": "", **_numbers(bench, trial, measured)}
    # The modes alone: an audit only adds evidence, and the report has it.
    row["diagnosis"] = diagnosis.modes(
        diagnosis.diagnose(row | answered, measured.curve_table(), measured.pairs)
    )
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
        folder, cell=dict(identity.cell(trial)), row=row, pairs=measured.pairs, curve=measured.curve_table(),
        log="\n".join(log),
    )  # fmt: skip
    if addition is not None:
        store.add_measurement(folder, **addition._asdict())
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
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
        and (not save or (folder / MODEL_FOLDER).is_dir())
    )


def _added_alone(bench: Bench, trial: Trial, folder: Path) -> Addition | None:
    """What a finished cell lacks, where that needs no training."""
    kept = trial.given.folder if trial.given else folder / MODEL_FOLDER
    return bench.additions.of_finished(trial, folder, kept)


def store_lost(identity: Identity, trial: Trial, folder: Path, cause: str) -> None:
    """The failed row of a cell whose process is gone."""
    cause = redacted(cause)
    row = describe(identity, trial) | {"status": "failed", "reason": cause}
    store.write_failed(folder, cell=dict(identity.cell(trial)), row=row, log=cause)


@dataclasses.dataclass
class _Measured:
    """pairs: every evaluation, one below the other; curve: one row a step; asked: what additions were told."""

    pairs: DataFrame
    curve: Curve
    asked: Asked = ()

    def curve_table(self) -> DataFrame | None:
        import pandas as pd

        return pd.DataFrame(self.curve) if self.curve else None


def measured_together(bench: Bench, trial: Trial, folder: Path, log: list[str]) -> _Measured:
    """What the processes of a cell have in common: the training and its evaluations, or those of a model that is."""
    if ranks.sharded():
        _ = bench.noise_floors  # passes of the model that rank 0 cannot make alone
    if trial.given is not None:
        return _measure_given(bench, trial)
    return _measure_untrained(bench) if trial.loss == "none" else _train(bench, trial, folder, log)


def _measure_given(bench: Bench, trial: Trial) -> _Measured:
    """A model that was trained elsewhere; step 0, because we took none."""
    reference = bench.evaluation_reference
    bench.additions.prepare()
    model = bench.policy.load(trial.given.folder)
    policy = bench.evaluate(model)
    broken = sum(not all(answer.isfinite().all() for answer in row) for row in policy)
    if broken:
        raise NonFinite(f"{trial.given.name}: log-probs of {broken} of {len(policy)} rows are not finite; its weights "
                        "overflow")  # fmt: skip
    return _Measured(pair_table(bench.data_rows, policy, reference, 0), [], bench.additions.ask(model))


def _measure_untrained(bench: Bench) -> _Measured:
    """The control `none`: the policy is the reference."""
    reference = bench.evaluation_reference
    return _Measured(pair_table(bench.data_rows, reference, reference, 0), [])


def _train(bench: Bench, trial: Trial, folder: Path, log: list[str]) -> _Measured:
    import pandas as pd

    job = bench.job(trial, bench.identity.cell_id(trial))
    reference = bench.evaluation_reference
    bench.additions.prepare()
    steps = len(job.batches)
    due = {math.ceil(steps * i / bench.options.evals) for i in range(1, bench.options.evals + 1)}
    model = bench.policy.begin(trial.seed)
    tables: list[DataFrame] = []

    seen = 0

    def on_step(row: dict[str, float]) -> None:
        nonlocal seen
        log.append(f"step {row['step']}/{steps} loss {row['loss']:.6g} margin {row['margin']:.6g}")
        bench.progress.step(int(row["step"]), row["loss"], int(row["tokens"]) - seen)
        seen = int(row["tokens"])

    def after_step(step: int) -> None:
        if step in due:
            scores = bench.evaluate(model)
            if spoilt := not_finite(bench.data_rows, scores):
                raise NonFinite(f"{trial.loss} after step {step} of {steps}: log-probs of {len(spoilt)} held-out rows "
                                f"are not finite, the first {spoilt[0]}; the model has diverged, lower lr")
            tables.append(pair_table(bench.data_rows, scores, reference, step))

    curve = train(
        bench.trainer(model), job, on_step=on_step, after_step=after_step,
        on_smaller=bench.on_smaller,
        checkpoints=folder / CHECKPOINTS if bench.options.checkpoint_steps else None,
        checkpoint_steps=bench.options.checkpoint_steps,
    )  # fmt: skip
    return _Measured(pd.concat(tables, ignore_index=True), curve, bench.additions.ask(model))


def save_model(bench: Bench, folder: Path) -> None:
    """Writes the model just trained into the cell's folder, whole or not at all."""
    target = folder / MODEL_FOLDER
    shutil.rmtree(target, ignore_errors=True)
    with building(target) as temporary:
        bench.policy.save(temporary, bench.tokenizer)


def describe(identity: Identity, trial: Trial) -> dict[str, Any]:
    """The columns that are known before a cell runs."""
    options, data = identity.options, identity.data
    loss = losses.get(trial.loss) if trial.loss in losses.names() else None
    trained = trial.lr is not None
    knobs, rows = trial.knobs, data.training_rows(trial.seed, trial.knobs) if trained else []
    row = {
        "loss": trial.loss,
        "beta": trial.hyperparameters.get("beta"),
        "lr": trial.lr,
        "seed": trial.seed,
        "hyperparameters": json.dumps(dict(trial.hyperparameters), sort_keys=True),
        "control": trial.control,
        "reward": loss.reward if loss else None,
        "paper": loss.paper if loss else None,
        "formula": loss.formula if loss else None,
        "conventions": conventions(loss) if loss else None,
        "suite": data.suite.name,
        "model": identity.source.name,
        "protocol": identity.protocol,
        "cell": identity.cell_id(trial),
        "train_pairs": len(rows),
        "label_noise": knobs.label_noise if trained else None,
        "length_balance": knobs.length_balance if trained else None,
        "min_margin": knobs.min_margin,
        "pool_pairs": len(eligible(data.pool, knobs)) if trained else None,
        "eval_pairs": options.eval_pairs,
        "validation_pairs": len(data.validation),
        "test_pairs": len(data.test),
        "dropped_pairs": len(rows) % options.batch_size * options.epochs if trained else 0,
        "batch_size": options.batch_size,
        "epochs": options.epochs,
        "max_tokens": data.encoder.max_tokens,
        "evals": options.evals,
        "similarity": options.similarity,
        "tuning": options.tuning,
        "precision": identity.precision,
        "start": options.start,
        "template": data.encoder.template,
        "train_rows_digest": data.training_digest(trial.seed, knobs)[:12] if trained else None,
        "eval_rows_digest": data.digest(data.validation + data.test)[:12],
        "plugin_digest": loss.source if loss else None,
        "suite_revision": data.suite.revision,
        "model_revision": identity.source.revision,
        "trained_model": trial.given.name if trial.given else None,
        "trained_model_revision": trial.given.revision if trial.given else None,
    }
    return row if identity.trains else row | dict.fromkeys(OF_TRAINING)


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
