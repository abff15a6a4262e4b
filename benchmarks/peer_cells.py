"""Cells of a sweep through TRL's trainers: one process, library and data loaded once, weights loaded for each cell.

That is the fastest that a user's script can be: a process a cell would pay for imports each time. Within the
process TRL finds the reference log-probs of an earlier cell in its own cache, where data and weights are the
same.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset
from trl import DPOConfig, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from benchmarks.peer import Ready, common, ordered, paired, scratch
from benchmarks.task import Clock, Task
from harness.data.tokens import Row
from harness.model.sources import load_policy

Ids = dict[str, Any]


class ReadyKTO(KTOTrainer):
    """KTOTrainer over rows that are token ids already."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


class ReadyCPO(CPOTrainer):
    """CPOTrainer over rows that are token ids already."""

    def tokenize_row(self, feature: Ids, model: Any = None) -> Ids:
        return sequences(feature)


class ReadyORPO(ORPOTrainer):
    """ORPOTrainer over rows that are token ids already."""

    def tokenize_row(self, feature: Ids, model: Any = None) -> Ids:
        return sequences(feature)


def sequences(pair: Ids) -> Ids:
    """A pair as the collator of CPO and ORPO takes it: prompt with completion, labels on the completion alone."""
    prompt = pair["prompt_ids"]
    result = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
    for side in ("chosen", "rejected"):
        completion = pair[f"{side}_ids"]
        result[f"{side}_input_ids"] = prompt + completion
        result[f"{side}_attention_mask"] = [1] * len(prompt + completion)
        result[f"{side}_labels"] = [-100] * len(prompt) + completion
    return result


def unpaired(rows: Sequence[Row], micro: int, batch_size: int) -> list[Ids]:
    """Chosen completions, then rejected ones, of each micro-batch; beside each, for KL, another prompt's completion.

    The other completion is the previous example's, rotated within the micro-batch, as KTOTrainer itself does it.
    """
    result: list[Ids] = []
    for whole in range(0, len(rows), batch_size):
        batch = rows[whole : whole + batch_size]
        for start in range(0, len(batch), micro):
            group = batch[start : start + micro]
            examples = [
                {"prompt_ids": list(row.prompt), "completion_ids": list(row.completions[side]), "label": side == 0}
                for side in (0, 1)
                for row in group
            ]
            for number, example in enumerate(examples):
                example["KL_completion_ids"] = examples[number - 1]["completion_ids"]
            result += examples
    return result


def texts(rows: Sequence[Row]) -> list[Ids]:
    """Pairs with the text columns that CPO and ORPO look for before they call `tokenize_row`."""
    return [{"prompt": "", "chosen": "", "rejected": ""} | paired(row) for row in rows]


def trainer_of(task: Task, loss: str, beta: float, lr: float, folder: str) -> Any:
    """The trainer of one cell at TRL's fastest settings, its reference log-probs measured where it has some."""
    sweep, micro = task.sweep, task.spec["micro"]
    train = [row for batch in task.batches for row in ordered(batch, by_length=True)]
    held_out = sorted([*sweep.data.validation, *sweep.data.test], key=lambda row: row.length)
    settings = common(task, folder, micro) | {
        "beta": beta,
        "learning_rate": lr,
        "prediction_loss_only": True,
        "per_device_eval_batch_size": micro,
    }
    rows: Callable[[Sequence[Row]], list[Ids]] = texts
    if loss in ("dpo", "ipo"):
        kind = {"dpo": "sigmoid", "ipo": "ipo"}[loss]
        make, rows = Ready, lambda some: [paired(row) for row in some]
        arguments = DPOConfig(**settings, loss_type=[kind], max_length=None, precompute_ref_log_probs=True)
    elif loss == "kto":
        size = settings["per_device_train_batch_size"]
        settings |= {"per_device_train_batch_size": 2 * size, "per_device_eval_batch_size": 2 * size}
        make, rows = ReadyKTO, lambda some: unpaired(some, size, sweep.options.batch_size)
        arguments = KTOConfig(**settings, max_length=None, precompute_ref_log_probs=True)
    elif loss == "simpo":
        make = ReadyCPO
        arguments = CPOConfig(**settings, loss_type="simpo", cpo_alpha=0.0, remove_unused_columns=False)
    else:
        make = ReadyORPO
        arguments = ORPOConfig(**settings, remove_unused_columns=False)
    return make(
        load_policy(sweep.identity.source, sweep.machine.device).train(),
        args=arguments,
        train_dataset=Dataset.from_list(rows(train)),
        eval_dataset=Dataset.from_list(rows(held_out)),
        processing_class=sweep.tokenizer,
    )


def cells(task: Task) -> dict[str, Any]:
    """Every cell of the specification, trained and evaluated: seconds of each part, and the peak of memory."""
    done = []
    clock = Clock(task.sweep.machine.device)
    for loss, beta, lr in task.spec["cells"]:
        with scratch() as folder:
            began = time.perf_counter()
            trainer = trainer_of(task, loss, beta, lr, folder)
            ready = time.perf_counter()
            trainer.train()
            trained = time.perf_counter()
            trainer.evaluate()
            done.append(
                {
                    "loss": loss,
                    "beta": beta,
                    "lr": lr,
                    "setup_seconds": ready - began,
                    "train_seconds": trained - ready,
                    "evaluation_seconds": time.perf_counter() - trained,
                    "first_loss": trainer.state.log_history[0]["loss"],
                }
            )
        del trainer
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return {"cells": done, "peak_memory_bytes": clock.peak()}
