"""What is known of a cell besides its measurements: the columns of its settings and of its rows."""

from __future__ import annotations

import json
from typing import Any

import losses
from harness.data.dataset import Data
from harness.data.perturbations import eligible
from harness.experiment.identity import Identity
from harness.experiment.rounds import reference_of
from harness.experiment.trial import Trial
from harness.options.fields import Scope, fields_in
from harness.options.run import Options
from losses.checks.card import conventions
from results.schema.row import SINCE_LATER

# What is not known of external checkpoints, as far as it is a column.
OF_TRAINING = {*fields_in(Options, Scope.TRAINING), "dropped_pairs", *SINCE_LATER}


def describe(identity: Identity, trial: Trial) -> dict[str, Any]:
    """The columns that are known before a cell runs; of a later round's training rows nothing is."""
    options, data = identity.options, identity.data
    pending = {"train_pairs": data.count(trial.perturbations)}
    rows = _PENDING | pending if trial.parent is not None else rows_of(data, trial, options)
    row = _of_loss(trial) | _of_cell(identity, trial) | rows | _of_settings(identity, trial)
    return row if identity.trains else row | dict.fromkeys(OF_TRAINING & row.keys())


def _of_loss(trial: Trial) -> dict[str, Any]:
    """The loss, its setting, and what it is."""
    loss = losses.get(trial.loss) if trial.loss in losses.names() else None
    return {
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
        "plugin_digest": loss.source if loss else None,
    }


def _of_cell(identity: Identity, trial: Trial) -> dict[str, Any]:
    """Where the cell stands: suite, model, protocol, its own name, and those of its chain of rounds."""
    later = trial.parent is not None
    return {
        "suite": identity.data.suite.name,
        "suite_revision": identity.data.suite.revision,
        "model": identity.source.name,
        "model_revision": identity.source.revision,
        "trained_model": trial.external_checkpoint.name if trial.external_checkpoint else None,
        "trained_model_revision": trial.external_checkpoint.revision if trial.external_checkpoint else None,
        "protocol": identity.protocol,
        "cell": identity.cell_id(trial),
        "round": trial.round if trial.lr is not None else None,
        "parent": identity.cell_id(trial.parent) if trial.parent else None,
        "reference": reference_of(trial, identity.options) if later else None,
        "rated_by": identity.rollout.scorer if later else None,
    }


def _of_settings(identity: Identity, trial: Trial) -> dict[str, Any]:
    """What was set for rows, training and evaluation."""
    options, data, perturbations, trained = identity.options, identity.data, trial.perturbations, trial.lr is not None
    return {
        "label_noise": perturbations.label_noise if trained else None,
        "length_balance": perturbations.length_balance if trained else None,
        "min_margin": perturbations.min_margin,
        "eval_pairs": options.eval_pairs,
        "validation_pairs": len(data.validation),
        "test_pairs": len(data.test),
        "batch_size": options.batch_size,
        "epochs": options.epochs,
        "optimizer": options.optimizer,
        "weight_decay": options.weight_decay,
        "lr_schedule": options.lr_schedule,
        "warmup": options.warmup,
        "clip": options.clip,
        "max_tokens": data.encoder.max_tokens,
        "evals": options.evals,
        "similarity": options.similarity,
        "tuning": options.tuning,
        "precision": identity.precision,
        "start": options.start,
        "template": data.encoder.template,
        "eval_rows_digest": data.digest(data.validation + data.test)[:12],
    }


_PENDING = dict.fromkeys(("train_pairs", "pool_pairs", "dropped_pairs", "train_rows_digest"))


def rows_of(data: Data, trial: Trial, options: Options) -> dict[str, Any]:
    """The columns of the training rows."""
    if trial.lr is None:
        return _PENDING | {"train_pairs": 0, "dropped_pairs": 0}
    count = len(data.training_rows(trial.training_seed, trial.perturbations))
    return {
        "train_pairs": count,
        "pool_pairs": len(eligible(data.pool, trial.perturbations)),
        "dropped_pairs": count % options.batch_size * options.epochs,
        "train_rows_digest": data.training_digest(trial.training_seed, trial.perturbations)[:12],
    }
